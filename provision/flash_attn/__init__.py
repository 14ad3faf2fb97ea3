"""The optional flash-attn package: find, choose, build, store and try a wheel, and the step that installs it."""
