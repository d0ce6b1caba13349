"""Changes of clients' quotas: config records of kind ``client``."""

from __future__ import annotations

from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.quotas import complaint_about, entity_name
from transport.wire.errors import ErrorCode
from transport.wire.messages.configs import KIND_CLIENT
from transport.wire.messages.metadata import ConfigRecord
from transport.wire.messages.quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    QuotaOutcome,
)

ENTITIES_MAX = 10_000


def decide_quotas(image: ClusterImage, request: AlterClientQuotasRequest) -> Decision:
    """Change what can be changed; each entity gets an outcome of its own."""
    outcomes: list[QuotaOutcome] = []
    count = sum(1 for kind, _ in image.configs if kind == KIND_CLIENT)
    for entry in request.entries:
        complaint = complaint_about(entry.entity, entry.values)
        name = "" if complaint else entity_name(entry.entity)
        known = (KIND_CLIENT, name) in image.configs
        if complaint is None and not known and count >= ENTITIES_MAX:
            complaint = f"there are {ENTITIES_MAX} quotas; use the default user or client id"
        if complaint is not None:
            outcomes.append(QuotaOutcome(ErrorCode.INVALID_REQUEST, complaint))
            continue
        configs = dict(image.configs.get((KIND_CLIENT, name), {}))
        for quota, value in entry.values.items():
            if value is None:
                configs.pop(quota, None)
            else:
                configs[quota] = str(value)
        if not request.validate_only:
            yield ConfigRecord(KIND_CLIENT, name, configs)
            count += bool(configs) - known
        outcomes.append(QuotaOutcome(ErrorCode.NONE))
    return AlterClientQuotasResponse(ErrorCode.NONE, tuple(outcomes))
