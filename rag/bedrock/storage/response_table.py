"""Responses in a table of Amazon DynamoDB (`rag.response_cache`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from rag.response_cache.store import Holdings

#: DynamoDB's limit of an item, less its names and key.
MOST_BYTES = 400_000


class ResponseTable:
    """Responses in a DynamoDB table with the partition key ``key`` (a string).

    Turn the table's time to live on for the attribute ``expires``: DynamoDB then deletes what has expired,
    which is what bounds its size. An expired item that is still there is not returned.

    Parameters
    ----------
    table : str
    region, endpoint_url : str, optional
        By default from the environment.
    prefix : str
        Of all keys: two caches in one table need two.
    timeout_s : float
        The most that a call takes to connect, and to answer.
    """

    def __init__(
        self,
        table: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        prefix: str = "rag",
        timeout_s: float = 1.0,
    ) -> None:
        from rag.bedrock.runtime.client import client

        self.table, self._prefix = table, prefix
        self._client: Any = client(
            "dynamodb", region=region, endpoint_url=endpoint_url, timeout_s=timeout_s, connections=32
        )

    def create(self) -> None:
        """Create the table, paid by request, with time to live, and wait until it is there."""
        self._client.create_table(
            TableName=self.table, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        )  # fmt: skip
        self._client.get_waiter("table_exists").wait(TableName=self.table)
        self._client.update_time_to_live(
            TableName=self.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )

    def get(self, key: str) -> bytes | None:
        """Return a value that has not expired; what another process has just put is seen."""
        reply = self._client.get_item(TableName=self.table, Key=self._key("value", key), ConsistentRead=True)
        item = reply.get("Item")
        if item is None or float(item["expires"]["N"]) <= time.time():
            return None
        return bytes(item["value"]["B"])

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value; one that is larger than an item of DynamoDB may be is not kept."""
        if len(value) > MOST_BYTES:
            return
        self._client.put_item(
            TableName=self.table,
            Item={**self._key("value", key), "value": {"B": value}, "expires": _number(time.time() + ttl_s)},
        )

    def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease."""
        now = time.time()
        return self._if(
            self._client.put_item, "attribute_not_exists(#key) OR #owner = :owner OR #expires <= :now",
            {":owner": {"S": owner}, ":now": _number(now)}, {"#key": "key", "#expires": "expires"},
            Item={**self._key("lease", key), "owner": {"S": owner}, "expires": _number(now + ttl_s)},
        )  # fmt: skip

    def release(self, key: str, owner: str) -> None:
        """End a lease."""
        self._if(
            self._client.delete_item,
            "#owner = :owner",
            {":owner": {"S": owner}},
            {},
            Key=self._key("lease", key),
        )

    def holdings(self) -> Holdings:
        """Return the table; DynamoDB counts items every six hours, so they are not given."""
        self._client.describe_table(TableName=self.table)
        return Holdings(f"DynamoDB table {self.table}, prefix {self._prefix}", None, None, None)

    def clear(self) -> int:
        """Delete all items with the prefix; reads the whole table."""
        count = 0
        for item in self._all("", {"ProjectionExpression": "#key"}):
            self._client.delete_item(TableName=self.table, Key=item)
            count += item["key"]["S"].startswith(f"{self._prefix}:value:")
        return count

    def remove(self, which: Callable[[str, bytes], bool]) -> int:
        """Delete the items that a function picks; reads the whole table."""
        count, begin = 0, f"{self._prefix}:value:"
        for item in self._all("value:", {}):
            name = item["key"]["S"]
            if which(name.removeprefix(begin), bytes(item["value"]["B"])):
                self._client.delete_item(TableName=self.table, Key={"key": item["key"]})
                count += 1
        return count

    def _all(self, kind: str, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items whose keys have the prefix, expired ones too."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self.table, ExpressionAttributeNames={"#key": "key"},
            FilterExpression="begins_with(#key, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": f"{self._prefix}:{kind}"}}, ConsistentRead=True,
            **more,
        )  # fmt: skip
        for page in pages:
            yield from page["Items"]

    def _if(
        self, call: Any, condition: str, values: dict[str, Any], names: dict[str, str], **arguments: Any
    ) -> bool:
        """Make a conditional call; tell whether its condition was true."""
        try:
            call(
                TableName=self.table, ConditionExpression=condition, ExpressionAttributeValues=values,
                ExpressionAttributeNames={"#owner": "owner", **names}, **arguments,
            )  # fmt: skip
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _key(self, kind: str, key: str) -> dict[str, Any]:
        return {"key": {"S": f"{self._prefix}:{kind}:{key}"}}


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}
