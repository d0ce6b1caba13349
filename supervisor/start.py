"""``odradek start``: its words, and who carries them out."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from nodes.settings import ConfigError
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.detached import run_detached
from supervisor.launch import Launch


def add_parser(tree: Any) -> None:
    """Mount ``start`` on the command line's tree."""
    start = tree.add_parser(
        "start",
        help="start a cluster",
        description="Start a cluster and watch over it, until Ctrl-C, SIGTERM or `odradek stop`.",
        epilog="examples:\n"
        "  odradek start\n"
        "  odradek start my.toml --data-dir ./data --detach\n"
        "  odradek start hosts.toml --here 10.0.0.2        this host's share of several hosts' cluster\n"
        "  odradek start --join 10.0.0.1:9001 --here 10.0.0.4     one more broker, on a new host\n",
    )
    start.add_argument(
        "config",
        nargs="?",
        default="local",
        metavar="CONFIG",
        help="a TOML file, or the name of a shipped config (default: local)",
    )
    add_data_dir(start)
    start.add_argument(
        "--detach",
        action="store_true",
        help="run in the background; return when the cluster accepts writes",
    )
    start.add_argument(
        "--here", default="", metavar="ADDRESS", help="by which the other hosts reach this one"
    )
    start.add_argument(
        "--join",
        default="",
        metavar="HOST:PORT,…",
        help="run one more broker here, for the cluster whose nodes answer there",
    )
    start.add_argument(
        "--rack", default="", metavar="R", help="where this host stands, with --join (its address)"
    )
    start.add_argument(
        "--rebuild",
        action="store_true",
        help="this host replaces one of the same address whose data are gone: have the others fill "
        "its nodes before they vote",
    )
    start.add_argument("--ready-fd", type=int, default=None, help=argparse.SUPPRESS)
    start.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    start.set_defaults(run=_start)


def _start(given: argparse.Namespace) -> int:
    from supervisor.foreground import run

    if given.join and not given.here:
        raise ConfigError("--join: say by which address the others reach this host, as --here")
    if given.rack and not given.join:
        raise ConfigError(
            "--rack goes with --join; write the rack of a host or node into the config"
        )
    if given.rebuild and given.join:
        raise ConfigError("--rebuild is for the nodes of a config, and --join makes a new broker")
    launch = Launch(
        given.config,
        data_dir_of(given).path,
        given.ready_fd,
        given.until_eof,
        given.here,
        given.join,
        given.rack,
        given.rebuild,
    )
    if given.detach:
        return run_detached(launch)
    from supervisor.console import choose_console

    return run(launch, choose_console(sys.stdout))
