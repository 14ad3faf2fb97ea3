"""vllm-ready: from a host to a verified vLLM environment.

    host/     what is here?       readings -> Host                      reads only
    plan/     what should be?     Host + Settings + Catalogue -> Plan   pure

Data goes one way, downwards; `doors/` are the only ways out of the house, `catalog/` and
`binary/` hold what is known about published builds, `cli.py` turns argv into calls.
"""
