# The operator and the command line in one image. Built from the repository root: docker build -t berthmaster .
# Pin the base by digest where images are built: --build-arg PYTHON=python:3.13-slim@sha256:…
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY scheduler scheduler
COPY cost_model cost_model
COPY requirements/runtime.txt requirements/
# A virtual environment is copied whole into the next stage; hashes are checked, and nothing is compiled.
RUN python -m venv /opt/berthmaster \
    && /opt/berthmaster/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/runtime.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir build \
    && /opt/build/bin/python -m build --wheel --outdir /tmp/wheel . \
    && /opt/berthmaster/bin/pip install --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM ${PYTHON}
COPY --from=build /opt/berthmaster /opt/berthmaster
ENV PATH=/opt/berthmaster/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
# -P keeps the working directory off sys.path: a folder named operator must never shadow the standard library's.
ENTRYPOINT ["python", "-P", "-m", "berth_operator"]
