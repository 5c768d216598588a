# Two stages: the first makes the virtual environment, the second holds it and Python and nothing to build with.
# Every step is a script of the repository, so it runs, and is tested, without Docker as well.
#   docker build -t mask700 .
#   docker run --network host -v mask700:/var/lib/mask700 mask700
FROM debian:12-slim AS build
COPY scripts/image-python scripts/image-install /build/scripts/
RUN /build/scripts/image-python build
COPY requirements.lock pyproject.toml README.md /build/
COPY engine /build/engine
RUN /build/scripts/image-install /opt/mask700

FROM debian:12-slim
COPY scripts/image-python scripts/image-user /tmp/scripts/
RUN /tmp/scripts/image-python run && /tmp/scripts/image-user && rm -r /tmp/scripts
COPY --from=build /opt/mask700 /opt/mask700
COPY config /etc/mask700/config
ENV PATH=/opt/mask700/bin:$PATH
WORKDIR /etc/mask700
USER mask700
VOLUME /var/lib/mask700
STOPSIGNAL SIGTERM
ENTRYPOINT ["mask700"]
CMD ["serve", "--config", "config/lab.toml", "--set", "data_dir=\"/var/lib/mask700\""]
