"""Native code: the data plane. Nothing here knows of hosts, options or printing.

One subject a module, lowest first: types, libc (declarations only) | aead, digest, wire |
channel | engine | inflight, walk, tree | send, receive | plane (the classes that Python sees).
"""
