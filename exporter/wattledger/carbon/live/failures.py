"""The word and the sentence for an error of a connection (pure)."""

from __future__ import annotations

import http.client
import socket
import ssl

from .fetch import FetchError


def explain(error: Exception, label: str) -> FetchError:
    """What went wrong, from the error and those it was made from.

    Only texts of the operating system and of OpenSSL are quoted, never one that could repeat a request or an
    answer.
    """
    reason, text = _explain(_chain(error))
    return FetchError(reason, f"{label}: {text}")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in found:
        found.append(link)
        link = link.__cause__ or link.__context__
    return found


def _explain(chain: list[BaseException]) -> tuple[str, str]:
    found = next(filter(None, map(_of_tls, chain)), None) or next(filter(None, map(_of_socket, chain)), None)
    if found is not None:
        return found
    if any(isinstance(error, http.client.IncompleteRead) for error in chain):
        return "connect", "the answer is cut off"
    return "connect", f"no answer in HTTP that could be read ({type(chain[0]).__name__})"


def _of_tls(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "connect", "closed the connection without an answer"
    if isinstance(error, TimeoutError):
        return "timeout", "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls", f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "tls", f"TLS failed: {error.reason or 'unknown reason'}; is this the right port?"
    return None


def _of_socket(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, socket.gaierror):
        return "connect", f"the name of the host was not found: {error.strerror}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "connect", "closed the connection without an answer"
    if isinstance(error, OSError) and error.errno:
        return "connect", error.strerror or "the connection failed"
    return None
