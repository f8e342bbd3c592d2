"""The server of the page: on this computer alone unless told otherwise, and without a network."""

import os
import pathlib
import socket
import tempfile

# Before gradio is imported: it would tell its makers that it is used.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import fastapi
import gradio as gr
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from danceflax.app.jobs import Jobs
from danceflax.app.networks import Networks
from danceflax.app.page import make_page
from danceflax.app.uploads import Limits
from danceflax.errors import UserError
from danceflax.io.console import console

LOOPBACK = ("127.0.0.1", "localhost")
STYLE = pathlib.Path(__file__).with_name("style.css")


def serve(
    networks: Networks, limits: Limits, host: str, port: int, batch_size: int | None = None
) -> None:
    """Serves the page until the process is interrupted; then what was uploaded and found goes.

    Raises:
      UserError: that address cannot be listened at.
    """
    with open_socket(host, port) as listening, tempfile.TemporaryDirectory() as home:
        server, jobs = make_server(networks, limits, host, pathlib.Path(home), batch_size)
        name = f"http://{host}:{listening.getsockname()[1]}"
        console.print(f"the page: {name}    (Ctrl-C ends it)")
        if host not in LOOPBACK:
            console.print(
                "whoever can reach that address can use it, see it and fill this disk: there is no "
                "password"
            )
        try:
            server.run(sockets=[listening])
        finally:
            jobs.close_all()


def make_server(
    networks: Networks,
    limits: Limits,
    host: str,
    home: pathlib.Path,
    batch_size: int | None = None,
) -> tuple[uvicorn.Server, Jobs]:
    """The server, to be run with a socket, and the jobs of its pages.

    Args:
      host: that it is reached at; on the loopback requests for other names are refused.
      home: an empty folder for what is uploaded and found.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(home)
    jobs = Jobs(home)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOOPBACK:  # so that no page of another site is one of this
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK])
    app = gr.mount_gradio_app(
        app, make_page(networks, limits, jobs, batch_size), "/", server_name=host,
        theme=make_theme(), css_paths=STYLE, max_file_size=limits.bytes, footer_links=[],
        run_history=False, ssr_mode=False, mcp_server=False, enable_monitoring=False, pwa=False,
    )  # fmt: skip
    return uvicorn.Server(uvicorn.Config(app, log_level="warning")), jobs


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. Raises UserError: it cannot."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"--host={host} --port={port}: cannot be listened at: {reason}; give another --port"
        ) from None


def make_theme() -> gr.Theme:
    """Quiet colours and the reader's own fonts, so that nothing is fetched."""
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="md",
        font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"),
    )  # fmt: skip
    return theme.set(
        body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )  # fmt: skip
