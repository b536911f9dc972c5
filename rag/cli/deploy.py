"""``rag deploy``: the files from which an index becomes a function of AWS Lambda, or a container."""

from __future__ import annotations

from pathlib import Path

import click

from rag.cli.options import CONFIG


@click.command(short_help="Write what AWS Lambda and containers need.")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@CONFIG
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
def deploy(folder: Path, config_path: Path | None, force: bool) -> int:
    """Write the files of a function of AWS Lambda, and of a container, into FOLDER; nothing is deployed.

    They are template.yaml for AWS SAM, with the rights that rag.toml needs and no others, a Dockerfile
    with the targets lambda and web, pinned requirements, and app/ with rag.toml and the file of the keys.
    """
    from rag import __version__
    from rag.cli.output import say
    from rag.config import settings as rag_toml
    from rag.core.errors import ConfigError
    from rag.deployment.files import written

    path = config_path or Path("rag.toml")
    if not path.exists():
        raise ConfigError(f"{path} is missing: write one with a table [deploy]")
    for file in written(folder, rag_toml.read(path), path, __version__, force=force):
        say(str(file))
    say("next: cd into it, and `sam build && sam deploy --guided`, or `docker build --target web .`", "dim")
    return 0


COMMANDS: tuple[click.Command, ...] = (deploy,)
