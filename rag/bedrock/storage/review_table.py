"""A review queue in a table of Amazon DynamoDB (`rag.review`)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rag.core.answers import Answer
from rag.core.errors import RagError, ReviewConflictError, UsageError
from rag.core.ids import begins_at
from rag.review.packing import unpack
from rag.review.records import Decision, Item
from rag.review.store import Selection, changed

#: DynamoDB's limit of an item, less its names and keys ("Service, account, and table quotas").
MOST_BYTES = 400_000
#: Tries of a transaction that meets another one, with a pause between them, in seconds.
_TRIES, _PAUSE_S = 5, 0.05


class ReviewTable:
    """A review queue in a DynamoDB table with the partition key ``queue`` and the sort key ``key`` (strings).

    Each item is three records: the item with its decisions, its answer, and its fingerprint. Turn the
    table's time to live on for the attribute ``expires``; what has expired and is still there counts as gone.

    Parameters
    ----------
    table : str
    region, endpoint_url : str, optional
        By default from the environment.
    queue : str
        The partition; several queues may share a table.
    timeout_s : float
        The most that a call takes to connect, and to answer.
    """

    def __init__(
        self,
        table: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        queue: str = "rag",
        timeout_s: float = 1.0,
    ) -> None:
        from rag.bedrock.runtime.client import client

        self.table, self.queue = table, queue
        self._client: Any = client(
            "dynamodb", region=region, endpoint_url=endpoint_url, timeout_s=timeout_s, connections=32
        )

    @property
    def place(self) -> str:
        """The table and its partition."""
        return f"DynamoDB table {self.table}, queue {self.queue}"

    def create(self) -> None:
        """Create the table, paid by request, with time to live, and wait until it is there."""
        self._client.create_table(
            TableName=self.table, BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "queue", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("queue", "key")
            ],
        )  # fmt: skip
        self._client.get_waiter("table_exists").wait(TableName=self.table)
        self._client.update_time_to_live(
            TableName=self.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )

    def add(self, item: Item, answer: bytes, expires: float) -> Item:
        """Keep an item, unless there is one of the same fingerprint, which is returned.

        Raises
        ------
        RagError
            It is larger than an item of DynamoDB may be.
        """
        text = json.dumps(item.to_dict())
        if len(answer) > MOST_BYTES or len(text.encode()) > MOST_BYTES // 2:
            raise RagError(f"the answer is larger than an item of DynamoDB may be ({MOST_BYTES:,} bytes)")
        ends = {"N": str(math.ceil(expires))}  # time to live is in whole seconds
        once = {
            **self._put("once", item.fingerprint, {"id": {"S": item.id}, "expires": ends}),
            "ConditionExpression": "attribute_not_exists(#key) OR #expires <= :now",
            "ExpressionAttributeNames": {"#key": "key", "#expires": "expires"},
            "ExpressionAttributeValues": {":now": _number(time.time())},
        }
        whole = {"item": {"S": text}, "state": {"S": "open"}, "decisions": {"L": []}, "expires": ends}
        puts = [
            once, self._put("item", item.id, whole),
            self._put("answer", item.id, {"answer": {"B": answer}, "expires": ends}),
        ]  # fmt: skip
        for number in range(_TRIES):
            if (known := self._known(item.fingerprint)) is not None:
                return known
            try:
                self._client.transact_write_items(TransactItems=[{"Put": each} for each in puts])
                return item
            except self._client.exceptions.TransactionCanceledException:
                # Another process adds the same answer at this moment.
                if number == _TRIES - 1:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("unreachable")

    def get(self, id: str) -> Item | None:
        """Return an item that has not expired; what another process has just written is seen."""
        record = self._get("item", id)
        return None if record is None else _item(record)

    def answer(self, id: str) -> bytes | None:
        """Return the answer of an item."""
        record = self._get("answer", id)
        return None if record is None else bytes(record["answer"]["B"])

    def items(self, selection: Selection) -> Iterator[Item]:
        """Yield the items of a selection, newest first; reads all that are as new as `since`."""
        values = {":queue": {"S": self.queue}, ":now": _number(time.time()),
                  ":from": {"S": f"item:{begins_at(selection.since)}"}, ":to": {"S": "item:~"}}  # fmt: skip
        names = {"#queue": "queue", "#key": "key", "#expires": "expires"}
        condition = "#expires > :now"
        if selection.state is not None:
            condition += " AND #state = :state"
            names["#state"], values[":state"] = "state", {"S": selection.state}
        pages = self._client.get_paginator("query").paginate(
            TableName=self.table, KeyConditionExpression="#queue = :queue AND #key BETWEEN :from AND :to",
            FilterExpression=condition, ExpressionAttributeNames=names, ExpressionAttributeValues=values,
            ScanIndexForward=False, ConsistentRead=True,
        )  # fmt: skip
        for page in pages:
            yield from (item for item in map(_item, page["Items"]) if item in selection)

    def decide(self, id: str, decision: Decision, seen: int) -> Item:
        """Add a decision, if the item still has `seen` decisions; only ever appends to them."""
        before = self._there(id)
        item = before.after(decision)
        if len(before.decisions) == seen and self._append(id, decision, seen):
            return item
        self._there(id).after(decision)  # says who was first
        raise ReviewConflictError(changed(id))

    def remove(self, which: Callable[[Item, Answer], bool]) -> int:
        """Erase the items that a function picks; reads all of the queue."""
        count = 0
        for item in self.items(Selection()):
            data = self.answer(item.id)
            if data is not None and which(item, unpack(data)):
                self._erase(item)
                count += 1
        return count

    def prune(self) -> int:
        """Erase what has expired and was not yet erased by DynamoDB itself."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self.table, KeyConditionExpression="#queue = :queue",
            FilterExpression="#expires <= :now", ProjectionExpression="#queue, #key",
            ExpressionAttributeNames={"#queue": "queue", "#key": "key", "#expires": "expires"},
            ExpressionAttributeValues={":queue": {"S": self.queue}, ":now": _number(time.time())},
        )  # fmt: skip
        count = 0
        for page in pages:
            for key in page["Items"]:
                self._client.delete_item(TableName=self.table, Key=key)
                count += key["key"]["S"].startswith("item:")
        return count

    def _append(self, id: str, decision: Decision, seen: int) -> bool:
        """Append a decision in one conditional write; tell whether nobody was first."""
        text = json.dumps(decision.to_dict())
        try:
            self._client.update_item(
                TableName=self.table, Key=self._key("item", id),
                UpdateExpression="SET #decisions = list_append(#decisions, :made), #state = :state",
                ConditionExpression="size(#decisions) = :seen AND #expires > :now",
                ExpressionAttributeNames={
                    "#decisions": "decisions", "#state": "state", "#expires": "expires",
                },
                ExpressionAttributeValues={
                    ":made": {"L": [{"S": text}]}, ":state": {"S": decision.state},
                    ":seen": {"N": str(seen)}, ":now": _number(time.time()),
                },
            )  # fmt: skip
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _there(self, id: str) -> Item:
        item = self.get(id)
        if item is None:
            raise UsageError(f"there is no item {id} in {self.place}: see `rag review list`")
        return item

    def _erase(self, item: Item) -> None:
        keys = [("answer", item.id), ("once", item.fingerprint), ("item", item.id)]
        self._client.transact_write_items(TransactItems=[
            {"Delete": {"TableName": self.table, "Key": self._key(kind, key)}} for kind, key in keys
        ])  # fmt: skip

    def _known(self, fingerprint: str) -> Item | None:
        record = self._get("once", fingerprint)
        return None if record is None else self.get(record["id"]["S"])

    def _get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        reply = self._client.get_item(TableName=self.table, Key=self._key(kind, key), ConsistentRead=True)
        record = reply.get("Item")
        return None if record is None or float(record["expires"]["N"]) <= time.time() else record

    def _put(self, kind: str, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"TableName": self.table, "Item": {**self._key(kind, key), **values}}

    def _key(self, kind: str, key: str) -> dict[str, Any]:
        return {"queue": {"S": self.queue}, "key": {"S": f"{kind}:{key}"}}


def _item(record: Mapping[str, Any]) -> Item:
    decisions = tuple(Decision.from_dict(json.loads(each["S"])) for each in record["decisions"]["L"])
    return replace(Item.from_dict(json.loads(record["item"]["S"])), decisions=decisions)


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}
