"""Write go.mod for one Kubernetes release: python pin.py v1.36.3 && go mod tidy

k8s.io/kubernetes requires every staging module at v0.0.0 and replaces it by a directory, which
a dependent module does not inherit: pin each of them to the tag published with the release.
The etcd version is the one the release itself requires, so no other dependency moves.
"""

import json
import pathlib
import re
import subprocess
import sys

release = sys.argv[1]
staging_release = "v0." + release.removeprefix("v1.")
download = subprocess.run(
    ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{release}"],
    check=True,
    capture_output=True,
    text=True,
    cwd="/",
)
upstream = pathlib.Path(json.loads(download.stdout)["GoMod"]).read_text()
go = re.search(r"^go (\S+)$", upstream, re.M)[1]
staging = re.findall(r"^\t(k8s\.io/\S+) => \./staging/", upstream, re.M)

pathlib.Path(__file__).with_name("go.mod").write_text(
    "\n".join(
        [
            "// Written by pin.py.",
            "module controlplane",
            "",
            f"go {go}",
            "",
            f"require k8s.io/kubernetes {release}",
            "",
            "replace (",
            *(f"\t{module} => {module} {staging_release}" for module in staging),
            ")",
            "",
        ]
    )
)
