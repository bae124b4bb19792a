"""Users of a server, as an administrator sets them up."""

from __future__ import annotations

import itertools

from postgres_server import Server

_numbers = itertools.count(1)


class Role:
    """A user of the server, with a password that it asks for."""

    def __init__(self, server: Server, password: str, **settings: str) -> None:
        self.server = server
        self.name = f"role{next(_numbers)}"
        self.password = password
        literal = password.replace("'", "''")
        server.sql(f"CREATE ROLE {self.name} LOGIN PASSWORD '{literal}'")
        for name, value in settings.items():
            server.sql(f"ALTER ROLE {self.name} SET {name} = '{value}'")
        server.access(f"host all {self.name} 127.0.0.1/32 scram-sha-256")

    def url(self, password: str | None = None, query: str = "") -> str:
        secret = self.password if password is None else password
        return f"postgresql://{self.name}:{secret}@127.0.0.1:{self.server.port}/postgres{query}"

    def owns(self, schema: str) -> None:
        """Give it a schema of its own."""
        self.server.sql(f'CREATE SCHEMA "{schema}" AUTHORIZATION {self.name}')
