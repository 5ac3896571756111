"""A small reader and writer of the older protocol: what the other generation of clients sees. It shares no code with the
server."""

import json
import socket
import struct

SEND, PULL, ROUTE = 10, 11, 105
OWN_SUBSCRIPTION = 4


class Remoting:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.opaque = 0

    def call(self, code, fields, body=b""):
        self.opaque += 1
        header = json.dumps({
            "code": code, "language": "JAVA", "version": 479, "opaque": self.opaque, "flag": 0,
            "extFields": {name: str(value) for name, value in fields.items()},
        }).encode()
        self.socket.sendall(struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body)
        (total,) = struct.unpack(">I", self.read(4))
        frame = self.read(total)
        (length,) = struct.unpack(">I", frame[:4])
        length &= 0xFFFFFF
        return json.loads(frame[4:4 + length]), frame[4 + length:]

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the server closed the connection")
            data += part
        return data

    def send(self, topic, queue, body, properties):
        text = "".join(f"{name}\x01{value}\x02" for name, value in properties.items())
        answer, _ = self.call(SEND, {
            "producerGroup": "p", "topic": topic, "defaultTopic": "TBW102", "defaultTopicQueueNums": 4,
            "queueId": queue, "sysFlag": 0, "bornTimestamp": 1, "flag": 0, "properties": text, "reconsumeTimes": 0,
        }, body)
        assert answer["code"] == 0, answer

    def pull(self, topic, queue):
        """Every message of a queue."""
        found, offset = [], 0
        while True:
            answer, body = self.call(PULL, {
                "consumerGroup": "reader", "topic": topic, "queueId": queue, "queueOffset": offset, "maxMsgNums": 32,
                "sysFlag": OWN_SUBSCRIPTION, "commitOffset": 0, "suspendTimeoutMillis": 0, "subscription": "*",
                "subVersion": 0, "expressionType": "TAG",
            })
            if answer["code"] != 0:
                return found
            found += records(body)
            offset = int(answer["extFields"]["nextBeginOffset"])


def queues(nameserver, topic):
    """How many queues the name server says the topic has."""
    answer, body = Remoting(nameserver).call(ROUTE, {"topic": topic, "acceptStandardJsonOnly": "true"})
    assert answer["code"] == 0, answer
    return json.loads(body)["queueDatas"][0]["readQueueNums"]


def pull_all(nameserver, broker, topic):
    reader = Remoting(broker)
    return [message for queue in range(queues(nameserver, topic)) for message in reader.pull(topic, queue)]


def records(data):
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        found.append(record(data[at:at + size]))
        at += size
    return found


def record(data):
    queue, _, offset = struct.unpack_from(">iiq", data, 12)
    (flags,) = struct.unpack_from(">i", data, 36)
    born = struct.unpack_from(">q", data, 40)[0]
    at = 48 + (20 if flags & 0x10 else 8)
    stored = struct.unpack_from(">q", data, at)[0]
    at += 8 + (20 if flags & 0x20 else 8) + 4 + 8
    (length,) = struct.unpack_from(">i", data, at)
    body = data[at + 4:at + 4 + length]
    at += 4 + length
    topic = data[at + 1:at + 1 + data[at]].decode()
    at += 1 + data[at]
    (length,) = struct.unpack_from(">h", data, at)
    text = data[at + 2:at + 2 + length].decode()
    pairs = [part.split("\x01", 1) for part in text.split("\x02") if part]
    return {"queue": queue, "offset": offset, "flags": flags, "born": born, "stored": stored, "body": body,
            "topic": topic, "properties": dict(pairs)}
