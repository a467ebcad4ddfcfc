# The bot as an image: docker build -t small-versus-large-bot .
# How to run it stands in docs/operate.md. `bash .ci/image` runs these steps where there is no Docker.
# The base by the digest of its index of platforms, as of 2026-10-02. To renew it, take the digest that
# `docker buildx imagetools inspect python:3.11-slim` prints, and the tag of its release.
ARG BASE=python:3.11.17-slim@sha256:45037981b62b34b44602584fccbc4d884d5f7dc92c7ee86bb38a698a79fe1e51

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/bot
# Every package by its hash, as a wheel: nothing is built from sources that nobody checked.
COPY requirements.lock ./
RUN /opt/bot/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY storage storage
RUN /opt/bot/bin/pip install --no-deps --no-build-isolation .
RUN /opt/bot/bin/pip uninstall --yes setuptools pip

FROM ${BASE}
# One folder is written to: configuration, database and caches live in it. The rest may be read-only.
ENV PATH=/opt/bot/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data MPLCONFIGDIR=/data/matplotlib
RUN useradd --system --uid 10001 --no-create-home --home-dir /data bot \
    && install --directory --owner bot --mode 700 /data
COPY --from=build /opt/bot /opt/bot
WORKDIR /data
VOLUME /data
USER 10001
# It fails when the bot has missed its ticks, its database cannot be read, the disk is full or backups fail.
HEALTHCHECK --interval=2m --timeout=30s --start-period=2m --retries=2 \
    CMD ["python", "-m", "bot", "doctor", "--quick", "--config", "/data/config.toml"]
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run", "--config", "/data/config.toml"]
