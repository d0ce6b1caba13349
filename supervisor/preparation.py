"""From a config and a data directory to the plan of a cluster: made now, joined, or as it was left.

Owns what a start must refuse: the data of another cluster, what is left of one that was lost, a change
that a setting cannot make.  Nothing is started here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nodes.config import QUORUM_ROLES
from nodes.settings import ConfigError
from supervisor.config_file import SHIPPED_OF_MODE, load_settings
from supervisor.data_dir import Cluster, DataDir, named
from supervisor.growth import members_kept
from supervisor.launch import Launch
from supervisor.member import BROKER, OBSERVER, Member, number_in
from supervisor.moving import as_moved, as_they_were, was_moved
from supervisor.plan import ClusterPlan
from supervisor.ports import assign_endpoints
from supervisor.settings import KEYS_DIR, Settings, new_cluster_id
from supervisor.spawn import end_orphans, has_forgotten, mark_for_rebuild
from transport.sockets.certificate import TlsError
from transport.wire.ids import ClusterId, NodeName
from transport.wire.messages.cluster import NodeEndpoints


def prepare(launch: Launch, data_dir: DataDir) -> ClusterPlan:
    """Return the plan of the cluster in ``data_dir``, which this process then owns.

    Raises ConfigError for whatever a person must put right; nothing was started then.
    """
    settings = load_settings(launch.config)
    data_dir.prepare()
    data_dir.lock()
    data_dir.forget_supervisor()  # one that was killed may have had the pid that is ours now
    end_orphans(data_dir)
    before = data_dir.read_cluster()
    if launch.rebuild and before is not None:
        raise ConfigError(
            f"--rebuild is for a host whose data are gone, and {data_dir} has some; "
            "`odradek ensemble rebuild NODE` fills one of its nodes anew"
        )
    known = _as_others_have_it(launch, settings, data_dir) if launch.rebuild else before
    if was_moved(known) or (known is not None and known.joined and known.mode == "kraft"):
        settings = as_moved(settings)  # of a host that joined they name no nodes
    if launch.join or (before is not None and before.joined):
        cluster = _joined(launch, settings, data_dir, before)
        settings = replace(settings, cluster=replace(settings.cluster, name=cluster.name))
    else:
        cluster = _made(launch, settings, data_dir, before, known)
    if not cluster.nodes:
        raise ConfigError(
            f"every node that ran on {data_dir} was removed; name another --data-dir, for one more"
            " broker with `odradek start --join`"
        )
    plan = ClusterPlan(
        settings,
        cluster.cluster_id,
        data_dir.key(),
        data_dir.path,
        cluster.nodes,
        cluster.elsewhere,
        cluster.served,
    )
    keys_dir = plan.keys_dir()
    if keys_dir is not None and not (keys_dir / "cluster.key").exists():
        raise ConfigError(
            f"[security] curve = true needs keys in {keys_dir}; make them: `odradek keys create`"
        )
    certificate_trouble(settings)  # what is only wrong with it itself is told once the cluster runs
    if launch.rebuild:  # before the directory has a cluster: the next start then trusts its votes
        for node in plan.nodes:
            mark_for_rebuild(data_dir, node)
    data_dir.write_cluster(cluster._replace(keys=str(keys_dir or "")))
    return plan


def certificate_trouble(settings: Settings) -> str:
    """Raise ConfigError where the listeners could not speak TLS with the files they are given.

    Returns what is wrong with the certificate itself; empty: nothing.  One that has expired stops no
    start: it is the listeners' clients that refuse it, and the nodes and all others need none.
    """
    files = settings.security.tls_files()
    if files is None:
        return ""
    from transport.sockets.tls import read_credentials

    try:
        _, own = read_credentials(files)
    except TlsError as error:
        raise ConfigError(str(error)) from None
    trouble = own.trouble(time.time())
    return trouble and f"[security] tls_certificate = {files.certificate!r}: {trouble}"


def _as_others_have_it(launch: Launch, settings: Settings, data_dir: DataDir) -> Cluster | None:
    """Return what the other hosts say of the cluster, which may have moved to mode ``kraft`` since its
    settings were written; None: nobody says. Raises ConfigError for settings of the mode to come."""
    from supervisor import joining

    keys = _keys_file(settings, data_dir)
    _, others = settings.placed(launch.here, settings.members())
    if not others or (keys is not None and not keys.exists()):
        return None
    told = joining.as_others_have_it([other.clients for other in others], keys)
    if told is not None and settings.cluster.mode == "kraft" != told.mode:
        raise ConfigError(
            f"the other hosts have mode = {told.mode!r}; start this one with a config of that mode, and "
            "finish a move to mode kraft that is under way by `odradek migrate finish` here"
        )
    return told


def _keys_file(settings: Settings, data_dir: DataDir) -> Path | None:
    security = settings.security
    keys = Path(security.keys) if security.keys else data_dir.path / KEYS_DIR
    return keys / "cluster.key" if security.curve else None


def _made(
    launch: Launch,
    settings: Settings,
    data_dir: DataDir,
    before: Cluster | None,
    known: Cluster | None,
) -> Cluster:
    """Return the cluster that the settings describe, as it was left here; ``known``: as its nodes
    are called."""
    wanted = as_they_were(known, settings.members())
    mine, elsewhere = settings.placed(launch.here, wanted)
    if before is None:
        _check_nothing_is_left(settings, data_dir)
        made_id = ClusterId(settings.cluster.id) if settings.cluster.id else new_cluster_id()
        before = Cluster(settings.cluster.name, made_id, settings.cluster.mode, ())
    else:
        _check_identity(before, settings, wanted, data_dir)
        _check_places(before, mine, elsewhere, data_dir)
    members = members_kept(before, mine, settings, launch.here or settings.host_of_added())
    nodes = assign_endpoints(members, named(before.nodes), settings.cluster.bind)
    known_there = tuple(node for node in elsewhere if node.name not in before.removed)
    _check_enough_remember(before.served, nodes, known_there, data_dir)
    return before._replace(nodes=nodes, elsewhere=known_there)


def _check_nothing_is_left(settings: Settings, data_dir: DataDir) -> None:
    """Refuse to make a cluster anew on what is left of another, or of itself."""
    left = data_dir.cluster_of_nodes()
    if left and left != settings.cluster.id:
        raise ConfigError(
            f"{data_dir} has data of cluster {left}, and its cluster.json is gone; restore that, "
            f'give the config `id = "{left}"` under [cluster], or name another --data-dir'
        )


def _joined(
    launch: Launch, settings: Settings, data_dir: DataDir, before: Cluster | None
) -> Cluster:
    """Return the cluster that was joined, with the broker that runs here for it."""
    from supervisor import joining

    if before is not None and not before.joined:
        raise ConfigError(
            f"{data_dir} has the nodes that a cluster was made with; start those without --join, or "
            "name another --data-dir for one more broker"
        )
    keys_file = _keys_file(settings, data_dir)
    elsewhere = before.elsewhere if before is not None else ()
    mode = before.mode if before is not None else settings.cluster.mode
    if launch.join:
        described = joining.find_cluster(launch.join, keys_file)
        joining.check_same_cluster(before, described)
        mode = described.mode
        elsewhere = joining.others_in(described, before.nodes if before is not None else ())
    if mode != settings.cluster.mode:
        raise ConfigError(
            f"that cluster has mode = {mode!r}; name a config of that mode, as "
            f"`odradek start {SHIPPED_OF_MODE[mode]} --join …`"
        )
    if before is None:
        number = joining.take_number(launch.join, keys_file)
        ports = settings.ports_of_added((BROKER,))
        member = joining.new_broker(number, launch.here, launch.rack, ports)
        name = described.cluster_name or settings.cluster.name
        before = Cluster(name, described.cluster_id, mode, (), (member.name,), joined=True)
        members: tuple[Member, ...] = (member,)
    else:
        members = members_kept(before, (), settings, launch.here)
    nodes = assign_endpoints(members, named(before.nodes), settings.cluster.bind)
    return before._replace(nodes=nodes, elsewhere=elsewhere)


def _check_identity(
    before: Cluster, settings: Settings, members: tuple[Member, ...], data_dir: DataDir
) -> None:
    """Refuse to start one cluster on the data of another."""
    wanted = settings.cluster
    remedy = f"start it with a config that says so, or name another --data-dir than {data_dir}"
    if before.name != wanted.name:
        raise ConfigError(
            f"the data directory belongs to cluster {before.name!r}, "
            f"not to {wanted.name!r}; {remedy}"
        )
    if wanted.id and before.cluster_id != wanted.id:
        raise ConfigError(
            f"the cluster was made with the id {before.cluster_id!r}, not {wanted.id!r}; {remedy}"
        )
    if before.mode != wanted.mode:
        raise ConfigError(f"the cluster was made with mode = {before.mode!r}; {remedy}")
    role = QUORUM_ROLES[wanted.mode]
    planned = _voters(members, role)
    present = _voters(before.everywhere, role) | planned.intersection(before.removed)
    if len(present) != len(planned):
        raise ConfigError(
            f"the cluster was made with {role}s = {len(present)}, and a quorum's size "
            f"cannot change by a setting; {remedy}"
        )
    if present != planned:
        others = "as separate nodes" if wanted.separate else "that are brokers too"
        raise ConfigError(
            f"the cluster was not made with controllers {others}, and they cannot become it by a "
            f"setting; {remedy}"
        )
    _check_none_is_left_out(before, {member.name for member in members}, remedy)


def _check_none_is_left_out(before: Cluster, names: set[NodeName], remedy: str) -> None:
    """Refuse settings without a node that has something: there may be as many as ever, and some removed."""
    settled = [node for node in before.everywhere if node.name not in before.added]
    observers = [node.name for node in settled if OBSERVER in node.roles]
    unnamed = [name for name in observers if name not in names]
    if unnamed:  # nobody but the quorum's log knows whether they do
        raise ConfigError(
            f"the cluster has observers = {max(map(number_in, observers))}, and {', '.join(unnamed)} may vote by now: end "
            f"it by `odradek ensemble remove {unnamed[0]}` first; {remedy}"
        )
    brokers = [node.name for node in settled if BROKER in node.roles]
    left_out = [name for name in brokers if name not in names]
    if left_out:
        raise ConfigError(
            f"the cluster has brokers = {max(map(number_in, brokers))}, and without "
            f"{', '.join(left_out)} it would lose replicas; {remedy}"
        )


def _check_places(
    before: Cluster,
    mine: tuple[Member, ...],
    elsewhere: tuple[NodeEndpoints, ...],
    data_dir: DataDir,
) -> None:
    """Refuse to start nodes of another host without what they hold there, as under its ``--here``.

    A member of the quorum that begins with nothing has forgotten its votes, and what it acknowledged.
    """
    went = {node.name for node in elsewhere} & {node.name for node in before.nodes}
    for name in sorted(went):
        if data_dir.has_data_of(name):
            raise ConfigError(
                f"{name} ran here, and these settings and --here place it on another host: a node is "
                f"where its data are; move {data_dir.node_dir(name)} there first, or leave it here"
            )
    came = {member.name for member in mine} & {node.name for node in before.elsewhere}
    for member in mine:
        in_quorum = not frozenset(QUORUM_ROLES.values()).isdisjoint(member.roles)
        if member.name in came and in_quorum and not data_dir.has_data_of(member.name):
            raise ConfigError(
                f"{member.name} ran on another host, and would begin here without its votes: move its "
                f"folder to {data_dir.node_dir(member.name)} first, or leave it there"
            )


def _check_enough_remember(
    served: tuple[NodeName, ...],
    nodes: tuple[NodeEndpoints, ...],
    elsewhere: tuple[NodeEndpoints, ...],
    data_dir: DataDir,
) -> None:
    """Refuse to begin anew where members of the quorum have lost what they held, but for those whom the
    others can fill anew (``supervisor.spawn`` has them do so).

    Which observers vote by now the log alone knows: it is enough where there is a majority with or without.
    """
    roles = frozenset(QUORUM_ROLES.values())
    quorum = [node for node in (*nodes, *elsewhere) if not roles.isdisjoint(node.roles)]
    gone = [node.name for node in nodes if has_forgotten(data_dir, served, node.name)]
    named_voters = [node for node in quorum if OBSERVER not in node.roles]
    if gone and not any(_has_majority(voters, gone) for voters in (quorum, named_voters)):
        raise ConfigError(
            f"{', '.join(gone)} served here, and what they held is gone, with too few others to fill them "
            f"anew: is a disk not mounted? Restore it below {data_dir.path / 'nodes'}, or name another "
            "--data-dir for a new cluster"
        )


def _has_majority(voters: list[NodeEndpoints], gone: list[NodeName]) -> bool:
    return 2 * sum(voter.name not in gone for voter in voters) > len(voters)


def _voters(nodes: Iterable[NodeEndpoints | Member], role: str) -> set[NodeName]:
    return {node.name for node in nodes if role in node.roles and OBSERVER not in node.roles}
