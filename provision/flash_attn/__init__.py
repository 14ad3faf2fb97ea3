"""The optional flash-attn package: find, choose, build, store and try a wheel; its step."""
