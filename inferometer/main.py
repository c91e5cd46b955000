"""The command line: one subcommand a file; each imports what it needs when it is called."""

from __future__ import annotations

import sys

import typer

from inferometer import (
    agent,
    alert,
    cost,
    demo,
    doctor,
    importing,
    load,
    middleware,
    probe,
    proxy,
    quarantine,
    simulate,
    slo,
    token,
    up,
)
from inferometer.saying import Failure, say_error

_EXTRAS = "`pip install 'inferometer[service]'` ([agent] is enough for agent, proxy and doctor)"
app = typer.Typer(
    name="inferometer",
    help="The instrument panel and alarm system for LLM inference on GPUs.",
    epilog="Begin with `inferometer demo`, or `inferometer import PATH` to judge a recorded incident.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("agent")(agent.agent)
app.command("proxy")(proxy.proxy)
app.command("middleware")(middleware.middleware)
app.command("probe")(probe.probe)
app.command("doctor")(doctor.doctor)
app.command("quarantine")(quarantine.quarantine)
app.command("import")(importing.import_)
app.command("simulate")(simulate.simulate)
app.command("load")(load.load)
app.add_typer(slo.app, name="slo")
app.add_typer(cost.app, name="cost")
app.add_typer(alert.app, name="alert")
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the command; a known failure is one clear message and a non-zero exit, no traceback."""
    try:
        app()
    except Failure as failure:
        say_error(str(failure))
        sys.exit(failure.code)
    except ModuleNotFoundError as missing:
        library = (missing.name or "a library").partition(".")[0]
        say_error(f"{library} is not installed: this command needs {_EXTRAS}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
