"""Two applications fetch the same keys: one at Alice, one at Bob.

First:  qkdbus deploy examples/three-sites.yaml
Then:   python examples/first_client.py
"""

from qkdbus_client import Client, QoS, Status


def main() -> None:
    """Open a stream at both ends, fetch five keys at each, compare, close."""
    with Client("Alice", network="three-sites") as alice, Client("Bob", network="three-sites") as bob:
        opened = alice.open_connect("app1@Alice", "app2@Bob", QoS(key_chunk_size=32, ttl=3600))
        print("Alice:", opened.status.name, opened.ksid)
        if opened.ksid is None:
            raise SystemExit(opened.reason)

        # The applications tell each other the key stream id (KSID) however they like: it is no secret.
        print("Bob:  ", bob.open_connect("app1@Alice", "app2@Bob", ksid=opened.ksid).status.name)

        for _ in range(5):
            mine, theirs = alice.get_key(opened.ksid), bob.get_key(opened.ksid)
            if mine.status != Status.SUCCESSFUL or theirs.status != Status.SUCCESSFUL:
                print("no key:", mine.status.name, mine.reason, theirs.status.name, theirs.reason)
                break
            same = mine.index == theirs.index and mine.key == theirs.key
            print(f"key {mine.index}: {8 * len(mine.key)} bits, equal: {same}, age {mine.metadata['age']} ms")

        alice.close(opened.ksid)
        bob.close(opened.ksid)


if __name__ == "__main__":
    main()
