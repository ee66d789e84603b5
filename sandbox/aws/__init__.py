"""The AWS services of the sandbox: moto, with each service that falls short of the real one mended in its own module.

Each mend gives its reason in its docstring and has a test that fails when moto no longer needs it. moto is pinned.
"""
