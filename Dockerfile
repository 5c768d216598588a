# Stages: `build` makes the virtual environment; `sipp` plays the telephone network in compose.yaml; `engine`, the last and so
# the one that `docker build .` gives, holds Python and the virtual environment and nothing to build or install with.
# Every step is a script of the repository; `make image-check` carries this file out without Docker, in bare Debian folders.
# The pure rooms are compiled by mypyc; `--build-arg ROOMS=interpreted` leaves them as they are (README: which, and why).
#
#   docker build -t mask700 .
#   docker run -d --name mask700 --network host --read-only --tmpfs /tmp --cap-drop ALL --stop-timeout 310 \
#     -v mask700:/var/lib/mask700 -v ./mine:/etc/mask700:ro mask700
#   docker exec mask700 mask700 stats
#
# config/container.toml, the image's /etc/mask700/config.toml, is the place to start mine/config.toml from.
FROM debian:12-slim AS build
ARG ROOMS=compiled
COPY scripts/image-python scripts/image-install scripts/image-compile scripts/compile_rooms.py scripts/image-flows \
  /build/scripts/
RUN /build/scripts/image-python build
COPY requirements-compile.lock /build/
RUN /build/scripts/image-compile tools /opt/mypyc
COPY requirements.lock /build/
RUN /build/scripts/image-install dependencies /opt/mask700
COPY pyproject.toml README.md /build/
COPY engine /build/engine
RUN /build/scripts/image-install engine /opt/mask700
RUN /build/scripts/image-compile engine /opt/mypyc /opt/mask700
COPY sipp_scenarios /build/sipp_scenarios
RUN /build/scripts/image-flows /opt/mask700 /flows

FROM debian:12-slim AS sipp
COPY scripts/image-sipp /tmp/scripts/
RUN /tmp/scripts/image-sipp && rm -r /tmp/scripts
COPY --from=build /flows /flows
LABEL org.opencontainers.image.title="mask700-sipp" \
      org.opencontainers.image.description="SIPp with the lab's flows: callers and callees for mask700"
WORKDIR /tmp
USER 701:701
ENTRYPOINT ["sipp", "-nostdin"]

FROM debian:12-slim AS engine
COPY scripts/image-python scripts/image-user /tmp/scripts/
RUN /tmp/scripts/image-python run && /tmp/scripts/image-user && rm -r /tmp/scripts
COPY --from=build /opt/mask700 /opt/mask700
COPY config/container.toml /etc/mask700/config.toml
LABEL org.opencontainers.image.title="mask700" \
      org.opencontainers.image.description="Number protection on 700 numbers: a SIP engine that masks both sides of a call" \
      org.opencontainers.image.version="0.1.0"
ENV PATH=/opt/mask700/bin:$PATH MASK700_CONFIG=/etc/mask700/config.toml PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/mask700
USER 700:700
VOLUME /var/lib/mask700
EXPOSE 5060/udp 5060/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["mask700", "health"]
ENTRYPOINT ["mask700"]
CMD ["serve"]
