"""A client of RabbitMQ that is not ours: `pika_client.py ADDRESS COMMAND`; asked and answers with JSON."""

import json
import sys
import threading
import time
import uuid

import pika

ADDRESS = sys.argv[1]
ASKED = json.load(sys.stdin)


def connect():
    return pika.BlockingConnection(pika.URLParameters(ADDRESS))


def declare(channel):
    """Makes exchanges and queues as the systems do, each before we are there."""
    for it in ASKED.get("exchanges", []):
        channel.exchange_declare(it["name"], it["kind"], durable=it.get("durable", True))
    for it in ASKED.get("queues", []):
        channel.queue_declare(it["name"], durable=it.get("durable", True))
        for exchange, key in it.get("bind", []):
            channel.queue_bind(it["name"], exchange, key)


def publish(channel):
    """Publishes messages: `exchange`, `key`, `body`, and an `id` where it has one."""
    channel.confirm_delivery()
    for it in ASKED["messages"]:
        properties = pika.BasicProperties(message_id=it.get("id"), delivery_mode=2)
        channel.basic_publish(it.get("exchange", ""), it["key"], it["body"].encode(), properties, mandatory=True)


def take(channel):
    """Takes messages from `queue` until there are `count`, or `seconds` are over."""
    taken, end = [], time.time() + ASKED.get("seconds", 30)
    while len(taken) < ASKED["count"] and time.time() < end:
        method, properties, body = channel.basic_get(ASKED["queue"], auto_ack=True)
        if method is None:
            time.sleep(0.05)
            continue
        taken.append({
            "key": method.routing_key, "id": properties.message_id, "type": properties.type,
            "mode": properties.delivery_mode, "body": body.decode(),
        })
    return taken


def count(channel):
    """How many messages wait in `queue`, without those that are on their way."""
    return channel.queue_declare(ASKED["queue"], passive=True).method.message_count


def delete(channel):
    channel.queue_delete(ASKED["queue"])


def call(channel):
    """So many callers at once as there are `bodies`, each on a connection of its own, all with one queue of answers; says
    what each was answered, by its correlation id."""
    channel.queue_declare(ASKED["replies"], durable=False)
    sent, answers, lock = {}, [], threading.Lock()

    def caller(body):
        with connect() as own:
            mine = own.channel()
            for _ in range(ASKED.get("turns", 1)):
                correlation = str(uuid.uuid4())
                with lock:
                    sent[correlation] = text = body.replace("THE-ID", correlation)
                properties = pika.BasicProperties(reply_to=ASKED["replies"], correlation_id=correlation)
                mine.basic_publish("", ASKED["queue"], text.encode(), properties)

    threads = [threading.Thread(target=caller, args=(body,)) for body in ASKED["bodies"]]
    for thread in threads:
        thread.start()
    expected, end = len(threads) * ASKED.get("turns", 1), time.time() + 60
    while len(answers) < expected and time.time() < end:
        method, properties, body = channel.basic_get(ASKED["replies"], auto_ack=True)
        if method is None:
            time.sleep(0.02)
            continue
        answers.append({"sent": sent.pop(properties.correlation_id, None), "answer": json.loads(body)})
    for thread in threads:
        thread.join()
    return answers


with connect() as connection:
    command = {"declare": declare, "publish": publish, "take": take, "count": count, "delete": delete, "call": call}
    print(json.dumps(command[sys.argv[2]](connection.channel())))
