"""Runs a notebook inside a Spark driver: the bootstrap's process executes an .ipynb, its cells run in a kernel.

Two processes. The *driver side* (`run`, `client`, `broker`, `door`, `page`, `model`, `redact`) lives in the bootstrap's
process: it owns the SparkContext, fetches notebooks and secrets from the control plane, and keeps the results. The
*kernel side* (`kernel`, `cells`, `dbutils`, `widgets`, `filesystem`, `show`, `sql`, `scala`, `shell`) lives in an
ipykernel that joins the same JVM, and asks the driver side for what it needs over a socket (`link`).

What is not in the standard library (nbclient, nbformat, nbconvert, ipykernel, matplotlib, pandas) must be in the
driver's image; it is imported when a notebook runs, never before.
"""
