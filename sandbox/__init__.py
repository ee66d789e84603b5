"""AWS on one machine: what `make run` starts. It stands in for AWS, never for the product, and is never deployed.

The product's code does not import this package. Only the composition module of the sandbox imports the product.
"""
