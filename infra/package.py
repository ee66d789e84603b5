"""`python -m infra.package [--out build/package]`: the template and the zip to deploy.

Runs `chalice package` on a copy of what is deployed, so that nothing else can find its way in; then `template` makes
its template ours, and `archive` its zip. Needs the network only for pip, which fetches the dependencies' wheels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from chalicelib.core.errors import Invalid
from infra import archive, instances
from infra.edge import count_nodes
from infra.template import template

ROOT = Path(__file__).resolve().parents[1]
DEPLOYED = ("app.py", "chalicelib", ".chalice/config.json", "requirements.txt")
TEMPLATE, ZIP = "template.json", "deployment.zip"


@dataclass(frozen=True, slots=True)
class Package:
    """What was made, and how large it is (bytes)."""

    template: Path
    zip: Path
    zipped: int
    unzipped: int
    paths: int


def build(out: Path, declared: Path = instances.DECLARED) -> Package:
    """Make the package in a directory, which is created if need be, with the instances of a file. Raises Invalid."""
    entries = instances.read(declared)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sparkplane-package-") as name:
        work = Path(name)
        packed = _chalice_package(work)
        made = template(json.loads((packed / "sam.json").read_text()), entries)
        (out / TEMPLATE).write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
        (work / "zip").mkdir()
        archive.finish(packed / ZIP, out / ZIP, work / "zip")
    paths = made["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    zipped = out / ZIP
    return Package(
        out / TEMPLATE, zipped, zipped.stat().st_size, archive.unpacked_size(zipped), count_nodes(paths)
    )  # fmt: skip


def _chalice_package(work: Path) -> Path:
    """Run Chalice on a copy of the project; returns the directory with its template and zip."""
    project, packed = work / "project", work / "packed"
    for name in DEPLOYED:
        source, target = ROOT / name, project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    command = [sys.executable, "-c", "from chalice.cli import main; main()"]
    arguments = ["--project-dir", str(project), "package", "--stage", "aws", str(packed)]
    environment = {**os.environ, "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
    done = subprocess.run(command + arguments, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"chalice package failed:\n{done.stdout}{done.stderr}")
    return packed


def report(package: Package) -> str:
    """What was made, for a person: sizes, and how to deploy."""
    folder = os.path.relpath(package.template.parent)
    return f"""\
{os.path.relpath(package.template)}  {package.template.stat().st_size / 1e3:.0f} kB, {package.paths} API resources
{os.path.relpath(package.zip)}  {package.zipped / 1e6:.1f} MB zipped, {package.unzipped / 1e6:.1f} MB unzipped

To deploy, with a bucket of yours for the upload (--help of each command tells more):

  aws cloudformation package --template-file {folder}/{TEMPLATE} --use-json \\
      --s3-bucket <bucket> --output-template-file {folder}/packaged.json
  aws cloudformation deploy --template-file {folder}/packaged.json --stack-name sparkplane \\
      --s3-bucket <bucket> --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \\
      --parameter-overrides EksClusterName=<cluster> OidcProvider=<oidc.eks.…/id/…> \\
          DomainName=<spark.example.com> CertificateArn=<arn>

Then make yourself a user and a token (the stack's output Environment is what the command needs to know):

  export $(aws cloudformation describe-stacks --stack-name sparkplane --output text \\
      --query "Stacks[0].Outputs[?OutputKey=='Environment'].OutputValue")
  python -m chalicelib.admin user create --user <you> --role admin
  python -m chalicelib.admin token create --user <you>

The stack's name becomes part of functions' names: at most 40 characters. The other parameters are described in the
template. EMR on EKS must be allowed into the namespace first (see "Enable cluster access" in its guide).
While nothing runs, the stack costs about a cent a month (the hourly sweep), and what the bucket and table store.
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m infra.package", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "package", help="where to put the package")
    parser.add_argument("--instances", type=Path, default=instances.DECLARED, help="what instances the stack makes")
    args = parser.parse_args()
    try:
        print(report(build(args.out.resolve(), args.instances)), end="")
    except Invalid as invalid:
        raise SystemExit(invalid.message) from None


if __name__ == "__main__":
    main()
