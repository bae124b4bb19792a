"""A script without annotations of its own, as one writes it first."""

# pyright: standard

from duroxide import ActivityContext, Client, Runtime, SqliteProvider

with SqliteProvider.in_memory() as provider:
    runtime = Runtime(provider)
    runtime.register_activity("Double", lambda ctx, n: 2 * n)
    runtime.register_orchestration("Same", lambda ctx, input: input)
    runtime.register_activity("None", lambda: None)  # error: type-var
    with runtime:
        client = Client(provider)
        client.start_orchestration("s-1", "Same", [1, 2])
        for item in client.wait_for_orchestration("s-1").output:
            print(item)
        client.start_orchestration("s-2", "Same", inputs=[1, 2])  # error: call-arg

print(ActivityContext({"attempt": 2}).attempt.upper())  # error: attr-defined
