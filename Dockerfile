# The operator and the command line in one image. Built from the repository root: docker build -t berthmaster .
# Pin the base by digest where images are built: --build-arg PYTHON=python:3.13-slim@sha256:…
# The command line in it: docker run --rm --entrypoint berth berthmaster --help
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
# What changes seldom comes first. Every file is checked against its hash, and nothing is compiled.
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/berthmaster \
    && /opt/berthmaster/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/runtime.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY scheduler scheduler
COPY cost_model cost_model
# The wheel, never the sources on PYTHONPATH; pip is for building only.
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
    && /opt/berthmaster/bin/pip install --no-cache-dir --no-index --no-deps /tmp/wheel/*.whl \
    && /opt/berthmaster/bin/python -m pip uninstall --yes pip

FROM ${PYTHON}
# A virtual environment is copied whole, to the path at which it was made.
COPY --from=build /opt/berthmaster /opt/berthmaster
# The user below has no entry in /etc/passwd, so no home unless it is stated, and a library asks for it when imported.
ENV PATH=/opt/berthmaster/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /tmp
# -P keeps the working directory off sys.path: a folder named operator must never shadow the standard library's.
ENTRYPOINT ["python", "-P", "-m", "berth_operator"]
