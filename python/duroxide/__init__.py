"""Durable execution: workflows as generator functions that survive restarts.

::

    from duroxide import Client, Runtime, SqliteProvider

    provider = SqliteProvider.open("app.db")
    runtime = Runtime(provider)

    @runtime.register_activity("SayHello")
    def say_hello(ctx, name):
        return f"Hello, {name}!"

    @runtime.register_orchestration("HelloWorkflow")
    def hello_workflow(ctx, input):
        return (yield ctx.schedule_activity("SayHello", input["name"]))

    runtime.start()
    client = Client(provider)
    client.start_orchestration("hello-1", "HelloWorkflow", {"name": "World"})
    print(client.wait_for_orchestration("hello-1").output)
    runtime.shutdown()
"""

from typing import TYPE_CHECKING

from duroxide._activity import ActivityContext
from duroxide._client import Client
from duroxide._codec import (
    MAX_KV_KEYS,
    MAX_KV_VALUE_BYTES,
    MAX_TAG_NAME_BYTES,
    MAX_WORKER_TAGS,
)
from duroxide._context import OrchestrationContext
from duroxide._entra import PostgresEntraOptions
from duroxide._errors import (
    ActivityError,
    ActivityTimeout,
    Cancelled,
    ClientError,
    CodecError,
    ConfigurationError,
    DuroxideError,
    InstanceExists,
    InstanceNotFound,
    InstanceRunning,
    InvalidArgument,
    NondeterminismError,
    NonRetryableError,
    OrchestrationError,
    ProviderError,
    RegistrationError,
    RuntimeStateError,
    SubOrchestrationError,
    WaitTimeout,
)
from duroxide._logging import init_tracing
from duroxide._options import RuntimeOptions, TagFilter
from duroxide._payloads import Codec
from duroxide._providers import PostgresProvider, SqliteProvider
from duroxide._results import (
    DeleteInstanceResult,
    Event,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstancePage,
    InstanceTree,
    MetricsSnapshot,
    OrchestrationResult,
    OrchestrationStatus,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
    SystemStats,
    Waiting,
    parse_result,
)
from duroxide._retry import RetryPolicy
from duroxide._runtime import Runtime
from duroxide._tasks import ScheduledTask
from duroxide._version import __version__

if TYPE_CHECKING:
    from duroxide import aio as aio
else:

    def __getattr__(name):
        # On first use: asyncio takes as long to import as all the rest, and many programs have no use of it.
        if name == "aio":
            from importlib import import_module

            return import_module("duroxide.aio")
        raise AttributeError(f"module 'duroxide' has no attribute {name!r}")


# The names that these classes also go by.
PyRuntimeOptions = RuntimeOptions
PyOrchestrationStatus = OrchestrationStatus
PySystemMetrics = SystemMetrics
PySystemStats = SystemStats
PyQueueDepths = QueueDepths
PyInstanceInfo = InstanceInfo
PyExecutionInfo = ExecutionInfo
PyInstanceTree = InstanceTree
PyDeleteInstanceResult = DeleteInstanceResult
PyPruneOptions = PruneOptions
PyPruneResult = PruneResult
PyInstanceFilter = InstanceFilter
PyEvent = Event
PyMetricsSnapshot = MetricsSnapshot

__all__ = [
    # The core
    "SqliteProvider",
    "PostgresProvider",
    "PostgresEntraOptions",
    "Client",
    "Runtime",
    "RuntimeOptions",
    "OrchestrationContext",
    "ActivityContext",
    "ScheduledTask",
    "TagFilter",
    "RetryPolicy",
    "Codec",
    # Results
    "OrchestrationResult",
    "OrchestrationStatus",
    "InstanceInfo",
    "InstancePage",
    "ExecutionInfo",
    "Event",
    "SystemMetrics",
    "SystemStats",
    "QueueDepths",
    "InstanceTree",
    "DeleteInstanceResult",
    "PruneOptions",
    "PruneResult",
    "InstanceFilter",
    "MetricsSnapshot",
    "Waiting",
    # Errors
    "DuroxideError",
    "ClientError",
    "InvalidArgument",
    "InstanceNotFound",
    "InstanceRunning",
    "InstanceExists",
    "WaitTimeout",
    "ProviderError",
    "RegistrationError",
    "RuntimeStateError",
    "ConfigurationError",
    "CodecError",
    "OrchestrationError",
    "ActivityError",
    "ActivityTimeout",
    "SubOrchestrationError",
    "Cancelled",
    "NondeterminismError",
    "NonRetryableError",
    # Functions and limits
    "init_tracing",
    "parse_result",
    "MAX_WORKER_TAGS",
    "MAX_TAG_NAME_BYTES",
    "MAX_KV_KEYS",
    "MAX_KV_VALUE_BYTES",
    "__version__",
    # Other names of the above
    "PyRuntimeOptions",
    "PyOrchestrationStatus",
    "PySystemMetrics",
    "PySystemStats",
    "PyQueueDepths",
    "PyInstanceInfo",
    "PyExecutionInfo",
    "PyInstanceTree",
    "PyDeleteInstanceResult",
    "PyPruneOptions",
    "PyPruneResult",
    "PyInstanceFilter",
    "PyEvent",
    "PyMetricsSnapshot",
]
