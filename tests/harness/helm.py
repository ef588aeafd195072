"""The real Helm (SDK 4) behind one small door, so that the command line of Helm could take its place.

The SDK's field manager is the program's name: a release installed here cannot be upgraded by another Helm.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python

import cache

CHART = cache.REPOSITORY / "helm" / "berthmaster"
TIMEOUT_SECONDS = 120

Values = Mapping[str, Any]
HelmError = helm_python.HelmError


class Helm:
    """Releases in one namespace of the cluster that ``kubeconfig`` names. Every refusal is a HelmError."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._config = helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace)

    def install(self, name: str, values: Values | None = None, *, chart: Path = CHART, wait: bool = True) -> Any:
        """Waits until everything is ready, by default; the release with its manifest."""
        return self._config.install(
            str(chart), name, dict(values or {}), namespace=self.namespace, create_namespace=True, **_waiting(wait)
        )

    def upgrade(
        self, name: str, values: Values | None = None, *,
        chart: Path = CHART, wait: bool = True, rollback_on_failure: bool = False,
    ) -> Any:  # fmt: skip
        return self._config.upgrade(
            str(chart), name, dict(values or {}), namespace=self.namespace,
            rollback_on_failure=rollback_on_failure, **_waiting(wait),
        )  # fmt: skip

    def rollback(self, name: str, revision: int | None = None, *, wait: bool = True) -> None:
        """To ``revision``, by default the one before; it becomes a new revision."""
        self._config.rollback(name, version=revision, **_waiting(wait))

    def uninstall(self, name: str) -> None:
        self._config.uninstall(name, timeout=TIMEOUT_SECONDS, wait="watcher")

    def history(self, name: str) -> list[Any]:
        return list(self._config.history(name))

    def status(self, name: str) -> Any:
        return self._config.status(name)

    def exists(self, name: str) -> bool:
        return bool(self._config.list(all_states=True, name_filter=f"^{name}$"))


def template(values: Values | None = None, *, name: str = "berthmaster", namespace: str = "berthmaster-system",
             chart: Path = CHART) -> dict[str, str]:  # fmt: skip
    """Manifests by template path, without a cluster."""
    loaded = helm_python.Chart.load(str(chart))
    return loaded.render(dict(values or {}), name=name, namespace=namespace)


def lint(values: Values | None = None, *, chart: Path = CHART, kubernetes: str | None = None) -> list[str]:
    """What Helm finds wrong, strictly; empty when nothing is."""
    report = helm_python.lint(str(chart), dict(values or {}), strict=True, kube_version=kubernetes)
    return list(report["errors"])


def _waiting(wait: bool) -> dict[str, Any]:
    return {"wait": "watcher" if wait else None, "timeout": TIMEOUT_SECONDS}


def main() -> int:
    """Lint the chart; 1 where something is wrong."""
    wrong = lint()
    for finding in wrong:
        print(finding, file=sys.stderr)
    print(f"{CHART.relative_to(cache.REPOSITORY)}: {len(wrong) or 'nothing'} to correct")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
