"""Labels and annotations that Berthmaster writes and reads. The cluster is the only memory: what runs is read back."""

GROUP = "berthmaster.dev"

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "berthmaster"
APP_NAME = "app.kubernetes.io/name"
"""Of a child: the workload's name."""
APP_INSTANCE = "app.kubernetes.io/instance"
"""Of a pod: the name of its Deployment, which selects by it."""

WORKLOAD = f"{GROUP}/workload"
"""On every child and its pods: the workload's name."""
REVISION = f"{GROUP}/revision"
"""On Deployments, their pods and the revision's ConfigMap. The Service selects WORKLOAD and REVISION."""
POOL = f"{GROUP}/pool"
CAPACITY_TYPE = f"{GROUP}/capacity-type"

BERTH = f"{GROUP}/berth"
"""Annotation on a Deployment: its Berth as JSON, without replicas."""
PLANNED_FOR = f"{GROUP}/planned-for"
"""Annotation on a Deployment: the planning hash of the spec that it was chosen for."""
RENDERED = f"{GROUP}/rendered"
"""Annotation on every child: the hash of what was applied; equal hash and untouched object means nothing to apply."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Annotation on a pod, of Kubernetes: of the pods of a ReplicaSet the one with the lowest goes first."""

GPU_SPECIFICATION = f"{GROUP}/gpu-specification"
"""Annotation on a Node: what a probe found its GPUs to be, as JSON; preferred to the catalogue."""

TEMPLATE_MANAGER = "berthmaster"
"""Field manager of everything but replicas; applies with force."""
REPLICAS_MANAGER = "berthmaster-autoscaler"
"""Field manager of ``spec.replicas`` only; never forces."""
PROBE_MANAGER = "berthmaster-probe"
"""Field manager of GPU_SPECIFICATION on Nodes."""
