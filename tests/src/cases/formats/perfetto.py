"""Reads a trace with Perfetto's own protos, and prints what its tracks hold, as JSON."""
import collections
import json
import sys

from google.protobuf import unknown_fields
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent


def check_known(message):
    """Every field is one that Perfetto knows."""
    assert not len(unknown_fields.UnknownFieldSet(message)), message
    for field, value in message.ListFields():
        if field.message_type:
            for part in [value] if hasattr(value, "ListFields") else value:
                check_known(part)


trace = Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
check_known(trace)
tracks, names, keys, categories, events, clocks = {}, {}, {}, {}, [], []
for packet in trace.packet:
    names.update((name.iid, name.name) for name in packet.interned_data.event_names)
    keys.update((name.iid, name.name) for name in packet.interned_data.debug_annotation_names)
    categories.update((name.iid, name.name) for name in packet.interned_data.event_categories)
    if packet.HasField("clock_snapshot"):
        clocks = [[clock.clock_id, clock.timestamp] for clock in packet.clock_snapshot.clocks]
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        assert not track.parent_uuid or track.parent_uuid in tracks, track
        tracks[track.uuid] = track
    if packet.HasField("track_event"):
        assert packet.track_event.track_uuid in tracks, packet
        events.append((packet.timestamp, packet.track_event))


def path(uuid):
    track = tracks[uuid]
    name = track.name or f"{track.process.process_name} {track.process.pid}"
    return (path(track.parent_uuid) if track.parent_uuid else []) + [name]


def facts(event):
    found = {}
    for fact in event.debug_annotations:
        found[keys[fact.name_iid]] = getattr(fact, fact.WhichOneof("value"))
    return found


events.sort(key=lambda event: event[0])
stacks, slices, instants, counters = collections.defaultdict(list), [], [], []
for ts, event in events:
    track = event.track_uuid
    name = event.name or names.get(event.name_iid)
    kind = TrackEvent.Type.Name(event.type)
    if kind == "TYPE_SLICE_BEGIN":
        category = [categories[iid] for iid in event.category_iids]
        stacks[track].append([name, ts, category, facts(event), [], list(event.flow_ids)])
    elif kind == "TYPE_SLICE_END":
        name, begun, category, told, inner, flows = stacks[track].pop()
        if stacks[track]:
            stacks[track][-1][4].append([name, ts - begun, category])
        else:
            slices.append({"name": name, "track": path(track), "begun": begun, "ended": ts,
                           "category": category, "facts": told, "inner": inner, "flows": flows})
    elif kind == "TYPE_INSTANT":
        instants.append({"name": name, "track": path(track), "ts": ts, "facts": facts(event)})
    else:
        counters.append({"track": path(track), "ts": ts, "value": event.counter_value})
assert not any(stacks.values()), "every slice ends"
json.dump({"clocks": clocks, "slices": slices, "instants": instants, "counters": counters},
          sys.stdout)
