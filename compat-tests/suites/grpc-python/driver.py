"""Driver of suite `grpc-python`: the official client, the stubs generated from the official protocol files, and a reader of
the older protocol beside them. Arguments are `name=value`: grpc, nameserver, broker, mode, only, access, secret."""

import sys
import time
import traceback
import uuid

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from rocketmq import ClientConfiguration, Credentials, Message, Producer
from rocketmq.grpc_protocol import definition_pb2, service_pb2, service_pb2_grpc

import remoting

ARGUMENTS = dict(argument.split("=", 1) for argument in sys.argv[1:])
GRPC, NAMESERVER, BROKER = ARGUMENTS["grpc"], ARGUMENTS.get("nameserver"), ARGUMENTS.get("broker")
LIMIT = 20


def topic():
    return "T" + uuid.uuid4().hex[:12]


def producer(*topics, access="", secret="", namespace=""):
    configuration = ClientConfiguration(GRPC, Credentials(access, secret), namespace)
    started = Producer(configuration, topics)
    started.startup()
    return started


def message(name, body=b"hello"):
    made = Message()
    made.topic, made.body = name, body
    return made


def until(what, condition):
    deadline = time.time() + LIMIT
    while time.time() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"still waiting for {what}")


def stored(name):
    return remoting.pull_all(NAMESERVER, BROKER, name)


def the_contract_is_the_official_one():
    """Every message, field, enum and method of the official files, as the server describes itself."""
    database = ProtoReflectionDescriptorDatabase(grpc.insecure_channel(GRPC))
    ours = {}
    for symbol in ("apache.rocketmq.v2.MessagingService", "apache.rocketmq.v2.Message"):
        described = database.FindFileContainingSymbol(symbol)
        ours.update({m.name: m for m in described.message_type})
        ours.update({e.name: e for e in described.enum_type})
        ours.update({s.name: s for s in described.service})
    checked = 0
    for module in (definition_pb2, service_pb2):
        official = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(official)
        for kind in official.message_type:
            checked += compare_message(kind, ours[kind.name])
        for kind in official.enum_type:
            known = {value.name: value.number for value in ours[kind.name].value}
            for value in kind.value:
                assert known.get(value.name) == value.number, (kind.name, value.name)
                checked += 1
        for service in official.service:
            known = {m.name: m for m in ours[service.name].method}
            for method in service.method:
                mine = known[method.name]
                same = [(m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in (method, mine)]
                assert same[0] == same[1], same
                checked += 1
    assert checked > 300, checked


def compare_message(official, mine):
    def fields(kind):
        oneofs = [oneof.name for oneof in kind.oneof_decl]
        return {
            f.number: (f.name, f.type, f.label, f.type_name, f.proto3_optional,
                       oneofs[f.oneof_index] if f.HasField("oneof_index") else None)
            for f in kind.field
        }
    known = fields(mine)
    for number, field in fields(official).items():
        assert known.get(number) == field, (official.name, field, known.get(number))
    nested = {kind.name: kind for kind in mine.nested_type}
    return len(official.field) + sum(compare_message(kind, nested[kind.name]) for kind in official.nested_type)


def a_normal_message_is_read_by_the_older_generation():
    name = topic()
    sender = producer(name)
    sent = message(name, b"body of the message")
    sent.tag, sent.keys = "TagA", "key-1"
    sent.add_property("color", "blue")
    receipt = sender.send(sent)
    sender.shutdown()
    (read,) = stored(name)
    properties = read["properties"]
    assert read["body"] == b"body of the message" and read["topic"] == name, read
    assert properties["UNIQ_KEY"] == receipt.message_id == sent.message_id, (properties, receipt.message_id)
    assert (properties["TAGS"], properties["KEYS"], properties["color"]) == ("TagA", "key-1", "blue"), properties
    assert abs(read["born"] - time.time() * 1000) < 60_000, read
    assert receipt.offset == read["offset"], (receipt.offset, read)


def groups_keep_their_order_and_their_queue():
    name = topic()
    sender = producer(name)
    for number in range(40):
        sent = message(name, str(number).encode())
        sent.message_group = f"group-{number % 4}"
        sender.send(sent)
    sender.shutdown()
    seen = {}
    for read in stored(name):
        group = read["properties"]["__SHARDINGKEY"]
        seen.setdefault(group, []).append((read["queue"], int(read["body"])))
    assert len(seen) == 4, seen
    for messages in seen.values():
        numbers = [number for _, number in messages]
        assert len(numbers) == 10 and numbers == sorted(numbers), messages
        assert len({queue for queue, _ in messages}) == 1, messages


def a_delayed_message_is_not_seen_before_its_time():
    name = topic()
    sender = producer(name)
    sender.send(message(name, b"now"))
    due = int(time.time()) + 3
    sent = message(name, b"later")
    sent.delivery_timestamp = due
    sender.send(sent)
    sender.shutdown()
    assert [read["body"] for read in stored(name)] == [b"now"]
    until("the delayed message", lambda: len(stored(name)) == 2)
    (read,) = [read for read in stored(name) if read["body"] == b"later"]
    assert read["properties"]["TIMER_DELIVER_MS"] == str(due * 1000), read
    assert 0 <= time.time() - due < 2, time.time() - due


def many_messages_arrive_once_each():
    name = topic()
    sender = producer(name)
    futures = [sender.send_async(message(name, str(number).encode())) for number in range(300)]
    receipts = [future.result(timeout=LIMIT) for future in futures]
    sender.shutdown()
    assert len({receipt.message_id for receipt in receipts}) == 300
    bodies = sorted(int(read["body"]) for read in stored(name))
    assert bodies == list(range(300)), bodies


def a_namespace_becomes_part_of_the_topic():
    name = topic()
    sender = producer(name, namespace="ns")
    sender.send(message(name))
    sender.shutdown()
    (read,) = stored(f"ns%{name}")
    assert read["topic"] == f"ns%{name}", read


def an_undeclared_topic_can_be_sent_to():
    name = topic()
    sender = producer()
    sender.send(message(name))
    sender.shutdown()
    assert len(stored(name)) == 1


def a_message_of_the_older_generation_is_read_through_the_official_stubs():
    name = topic()
    properties = {"TAGS": "TagB", "KEYS": "k1 k2", "UNIQ_KEY": "7F000001", "shape": "round"}
    remoting.Remoting(BROKER).send(name, 0, b"from remoting", properties)
    stub = service_pb2_grpc.MessagingServiceStub(grpc.insecure_channel(GRPC))
    request = service_pb2.PullMessageRequest(batch_size=32, long_polling_timeout=Duration(seconds=1))
    request.group.name = "g"
    request.message_queue.topic.name = name
    frames = list(stub.PullMessage(request, metadata=[("x-mq-client-id", "c")], timeout=10))
    kinds = [frame.WhichOneof("content") for frame in frames]
    assert kinds == ["status", "message", "next_offset"], kinds
    assert frames[0].status.code == 20000 and frames[2].next_offset == 1, frames
    read = Message().fromProtobuf(frames[1].message)
    assert (read.body, read.tag, set(read.keys)) == (b"from remoting", "TagB", {"k1", "k2"}), read
    assert (read.message_id, read.properties, read.corrupted) == ("7F000001", {"shape": "round"}, False), read


def the_server_refuses_what_the_client_does_not_check():
    name = topic()
    sender = producer(name)
    sent = message(name)
    sent.add_property("UNIQ_KEY", "forged")
    try:
        sender.send(sent)
        raise AssertionError("the message was taken")
    except Exception as error:
        assert "40007" in str(error) or "UNIQ_KEY" in str(error), error
    sender.send(message(name))
    sender.shutdown()
    assert len(stored(name)) == 1


def a_right_signature_is_accepted():
    name = topic()
    sender = producer(name, access=ARGUMENTS["access"], secret=ARGUMENTS["secret"])
    assert sender.send(message(name)).message_id
    sender.shutdown()


def a_wrong_signature_keeps_the_client_out():
    name = topic()
    for access, secret in ((ARGUMENTS["access"], "wrong"), ("nobody", ARGUMENTS["secret"]), ("", "")):
        sender = producer(name, access=access, secret=secret)
        try:
            receipt = sender.send(message(name))
        except Exception as error:
            # The client hides why: it never gets a route.
            assert name in str(error) or "40100" in str(error), repr(error)
        else:
            raise AssertionError(f"{access!r} was let in: {receipt}")
        finally:
            sender.shutdown()


def a_wrong_signature_has_its_code():
    stub = service_pb2_grpc.MessagingServiceStub(grpc.insecure_channel(GRPC))
    request = service_pb2.SendMessageRequest()
    wrong = "MQv2-HMAC-SHA1 Credential={}, SignedHeaders=x-mq-date-time, Signature={}"
    for authorization in (None, "Basic x", wrong.format(ARGUMENTS["access"], "00" * 20), wrong.format("nobody", "0")):
        metadata = [("x-mq-client-id", "c"), ("x-mq-date-time", "20260101T000000Z")]
        if authorization:
            metadata.append(("authorization", authorization))
        answer = stub.SendMessage(request, metadata=metadata, timeout=10)
        assert answer.status.code == 40100, answer


CASES = {
    "plain": [
        the_contract_is_the_official_one,
        a_normal_message_is_read_by_the_older_generation,
        groups_keep_their_order_and_their_queue,
        a_delayed_message_is_not_seen_before_its_time,
        many_messages_arrive_once_each,
        a_namespace_becomes_part_of_the_topic,
        an_undeclared_topic_can_be_sent_to,
        a_message_of_the_older_generation_is_read_through_the_official_stubs,
        the_server_refuses_what_the_client_does_not_check,
    ],
    "signed": [
        a_right_signature_is_accepted,
        a_wrong_signature_keeps_the_client_out,
        a_wrong_signature_has_its_code,
    ],
}


def main():
    only = [word for word in ARGUMENTS.get("only", "").split(",") if word]
    cases = {case.__name__.replace("_", "-"): case for case in CASES[ARGUMENTS.get("mode", "plain")]}
    cases = {name: case for name, case in cases.items() if not only or any(word in name for word in only)}
    print("CASES", *cases, flush=True)
    for name, case in cases.items():
        try:
            case()
            print("PASS", name, flush=True)
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__} {error}".replace("\n", " ")
            print(f"FAIL {name}: {text}", flush=True)
    print("DONE", flush=True)


main()
