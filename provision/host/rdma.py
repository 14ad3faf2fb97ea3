"""InfiniBand and RoCE devices, for which NCCL locks memory."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Files, Missing, Readings, Unread

_DEVICES = Files(("/sys/class/infiniband/*",))


def parse(readings: Readings) -> tuple[str, ...]:
    if _DEVICES.key not in readings.by_key:
        raise Unread(Missing(why="not read", detail="not in this recording"))
    if readings.get(_DEVICES).outcome == "absent":
        return ()
    return tuple(
        sorted(
            path.rpartition("/")[2]
            for path in msgspec.json.decode(readings.text(_DEVICES), type=dict[str, str])
        )
    )


FACT = Fact[tuple[str, ...]](title="RDMA devices", sources=(_DEVICES,), parse=parse)
