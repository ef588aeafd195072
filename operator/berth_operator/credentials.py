"""Where the API server is and who we are to it: the pod's service account, or a kubeconfig.

Loading is left to the official client's configuration loaders (tokens, certificates, exec plugins); the requests are
our own, so that one session, one retry policy and one 401 rule serve both our calls and kopf's watch streams.
"""

import os
import ssl
import time
from collections.abc import Awaitable, Callable

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from berth_operator.errors import InvalidSettings

TOKEN_LIFE_SECONDS = 60
"""A projected service-account token is read again this often; the kubelet replaces it at 80 % of its life."""


class Credentials:
    """The server's address, TLS and the Authorization header, loaded again when they grow old or are refused."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._in_cluster = kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ
        self._loaded_at = 0.0
        self._configuration = Configuration()

    async def load(self) -> None:
        """Read everything from the source; raises InvalidSettings where there is none that can be used."""
        configuration = Configuration()
        try:
            if self._in_cluster:
                config.load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(self._kubeconfig, self._context, configuration)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            where = "the pod's service account" if self._in_cluster else self._kubeconfig or "~/.kube/config"
            raise InvalidSettings(
                f"no credentials for the API server in {where}: {error}. "
                "Give --kubeconfig FILE, or run in a pod with a service account."
            ) from error
        self._configuration = configuration
        self._loaded_at = time.monotonic()

    @property
    def server(self) -> str:
        return str(self._configuration.host).rstrip("/")

    async def headers(self) -> dict[str, str]:
        """The Authorization header, empty where a client certificate says who we are."""
        if self._in_cluster and time.monotonic() - self._loaded_at > TOKEN_LIFE_SECONDS:
            await self.load()
        token = self._configuration.api_key.get("BearerToken")  # with its scheme: the loaders put it before the token
        return {"Authorization": token} if token else {}

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._configuration.ssl_ca_cert)
        if self._configuration.cert_file:
            context.load_cert_chain(self._configuration.cert_file, keyfile=self._configuration.key_file)
        if not self._configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def session(
        self, *, connections: int, and_then: Callable[[aiohttp.ClientResponse], Awaitable[None]] | None = None
    ) -> aiohttp.ClientSession:
        """A session of the running event loop with at most ``connections`` (0: any number); the token is never stale.

        A 401 loads the credentials again and repeats the request once; what is still refused is answered as it came.
        ``and_then`` sees every answer and may raise instead.
        """

        async def authorize(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            request.headers.update(await self.headers())
            response = await handler(request)
            if response.status == 401:
                response.release()
                await self.load()
                request.headers.update(await self.headers())
                response = await handler(request)
            if and_then is not None:
                await and_then(response)
            return response

        return aiohttp.ClientSession(
            base_url=self.server,
            connector=aiohttp.TCPConnector(limit=connections, ssl=self.ssl_context()),
            proxy=self._configuration.proxy,
            headers={"User-Agent": "berthmaster"},
            middlewares=(authorize,),
        )
