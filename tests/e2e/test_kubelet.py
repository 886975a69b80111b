"""Names and labels from a kubelet over real TLS, and what happens when it does not cooperate."""

from __future__ import annotations

import os
import socket
import threading
import traceback

import pytest

from tests.kubelet_server import Authority, KubeletServer, needs_openssl, pod, pod_list
from tests.ports import free_port
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.model import Workload
from wattledger.workloads.names.base import Names, NotYet, ResolverError, Subject
from wattledger.workloads.names.kubelet import KubeletNames
from wattledger.workloads.names.kubelet_client import KubeletClient
from wattledger.workloads.names.kubelet_pods import index_pods

pytestmark = [pytest.mark.e2e, needs_openssl]

TOKEN = "eyJhbGciOiJSUzI1NiJ9.the-secret.signature"
UID = "2c9f8a79-5391-454b-88cb-86190881cb96"
OTHER_UID = "11111111-2222-3333-4444-555555555555"
HASH = "d76e26fba3bf2bfd215eb29011d55250"
WEB, LOGS, SETUP, DEBUG, SANDBOX, ETCD = (digit * 64 for digit in "abcdef")

PODS = (
    pod(
        "web-7d9f",
        "shop",
        UID,
        containers=[
            ("nginx", "nginx:1.27", f"containerd://{WEB}"),
            ("logs", "fluent/fluent-bit:3", f"containerd://{LOGS}"),
        ],
        init=[("setup", "busybox:1", f"containerd://{SETUP}")],
        ephemeral=[("debugger", "busybox:2", f"containerd://{DEBUG}")],
        labels={"app.kubernetes.io/name": "web", "team": "checkout", "pod-template-hash": "7d9f"},
    ),
    pod(
        "etcd-node-1",
        "kube-system",
        HASH,
        containers=[("etcd", "registry.k8s.io/etcd:3.5", f"cri-o://{ETCD}")],
        annotations={"kubernetes.io/config.hash": HASH, "kubernetes.io/config.source": "file"},
    ),
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def kubelet(authority):
    with KubeletServer(authority, token=TOKEN, body=pod_list(*PODS)) as server:
        yield server


class Asker:
    """A resolver for this server, its clock, and its token file."""

    def __init__(self, folder, kubelet, authority, *, labels=(), **client):
        self.token_file = folder / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.clock = ManualClock()
        options = {"url": kubelet.url, "token_file": str(self.token_file), "ca_file": str(authority.ca_file)}
        self.client = KubeletClient(**(options | client))
        self.names = KubeletNames(self.client, self.clock, labels=labels)

    def container(self, ident, uid=UID):
        return self._ask("container", ident, uid)

    def pod(self, uid=UID):
        return self._ask("pod", uid, uid)

    def _ask(self, kind, ident, uid):
        fact = "pod_config_hash" if len(uid) == 32 else "pod_uid"
        return self.names.resolve(Subject(workload=Workload(kind=kind, id=ident, facts=((fact, uid),))))

    def failure(self):
        """The one ResolverError of a poll; nothing of it shows the token, the traceback included."""
        with pytest.raises(ResolverError) as caught:
            self.container(WEB)
        shown = "".join(traceback.format_exception(caught.value))
        secret = self.token_file.read_text(errors="replace").strip() if self.token_file.is_file() else TOKEN
        assert TOKEN not in shown
        assert not secret or secret not in shown
        return caught.value


@pytest.fixture
def ask(tmp_path, kubelet, authority):
    def make(**options):
        return Asker(tmp_path, kubelet, authority, **options)

    return make


def test_containers_get_their_pods_names_image_and_allowed_labels(ask, kubelet):
    """One poll serves every container of the list; only labels of the allow list come through."""
    asker = ask(labels=["app.kubernetes.io/name", "team", "absent"])
    labels = (("label_app_kubernetes_io_name", "web"), ("label_team", "checkout"))
    assert asker.container(WEB) == Names(
        pod_namespace="shop",
        pod_name="web-7d9f",
        container_name="nginx",
        facts=(("image", "nginx:1.27"), *labels),
    )
    assert asker.container(LOGS).container_name == "logs"
    assert asker.container(SETUP).container_name == "setup"
    assert asker.container(DEBUG).container_name == "debugger"
    assert asker.pod() == Names(pod_namespace="shop", pod_name="web-7d9f", facts=labels)
    assert kubelet.requests == 1


def test_no_labels_unless_allowed(ask):
    assert ask().pod().facts == ()


def test_a_static_pod_is_known_by_its_hash(ask):
    """Its cgroup is named by the hash of its configuration, not by a uid."""
    asker = ask()
    assert asker.pod(HASH).pod_name == "etcd-node-1"
    assert asker.container(ETCD, HASH).container_name == "etcd"


def test_the_mirror_of_a_static_pod_is_known_by_its_annotation(ask, kubelet):
    """The API server gives the mirror a uid of its own; the annotation still has the hash."""
    kubelet.body = pod_list(
        pod("etcd-node-1", "kube-system", UID, annotations={"kubernetes.io/config.hash": HASH})
    )
    asker = ask()
    assert asker.pod(HASH).pod_name == "etcd-node-1"
    assert asker.pod(UID).pod_name == "etcd-node-1"


def test_what_is_not_kubernetes_is_never_asked_for(ask, kubelet):
    """A plain docker container, a job and a unit cause no request."""
    asker = ask()
    for kind in ("container", "job", "unit", "vm"):
        assert asker.names.resolve(Subject(workload=Workload(kind=kind, id=WEB))) is None
    assert kubelet.requests == 0


def test_it_polls_only_for_the_unknown_and_at_most_every_15_s(ask, kubelet):
    """An unknown pod polls once; 14.9 s later it is not asked for again, 15 s later it is."""
    asker = ask()
    for _ in range(3):
        with pytest.raises(NotYet):
            asker.pod(OTHER_UID)
    assert kubelet.requests == 1
    asker.clock.advance(14.9)
    with pytest.raises(NotYet):
        asker.pod(OTHER_UID)
    assert kubelet.requests == 1
    kubelet.body = pod_list(*PODS, pod("late", "shop", OTHER_UID))
    asker.clock.advance(0.1)
    assert asker.pod(OTHER_UID).pod_name == "late"
    asker.clock.advance(3600)
    assert asker.container(WEB).pod_name == "web-7d9f"
    assert kubelet.requests == 2


def test_a_container_no_status_shows_is_the_sandbox(ask, kubelet):
    """After two polls that show its pod but not it; it is called as the other sources call it."""
    asker = ask()
    with pytest.raises(NotYet):
        asker.container(SANDBOX)
    asker.clock.advance(15)
    names = asker.container(SANDBOX)
    assert (names.pod_name, names.container_name) == ("web-7d9f", "pause")
    assert names.facts == (("container_type", "sandbox"),)
    assert kubelet.requests == 2


def test_a_container_of_an_unlisted_pod_stays_unknown(ask):
    """However often the list comes without its pod."""
    asker = ask()
    for _ in range(4):
        with pytest.raises(NotYet):
            asker.container(SANDBOX, OTHER_UID)
        asker.clock.advance(15)


def test_a_certificate_of_another_authority_is_refused(ask, tmp_path):
    """And the token is not sent to whoever presents it."""
    other = Authority(tmp_path / "other")
    error = ask(ca_file=str(other.ca_file)).failure()
    assert error.reason == "tls"
    assert "certificate" in str(error)


def test_without_a_ca_file_the_system_decides(ask, kubelet):
    """A cluster's own authority is not among the system's; nothing was asked for."""
    assert ask(ca_file=None).failure().reason == "tls"
    assert kubelet.requests == 0


def test_the_certificate_must_carry_the_expected_name(ask, kubelet):
    """127.0.0.1 and node-1 are in it, node-2 is not."""
    assert ask(server_name="node-1").container(WEB).pod_name == "web-7d9f"
    error = ask(server_name="node-2").failure()
    assert error.reason == "tls"
    assert "node-2" in str(error)
    assert kubelet.requests == 1


def test_a_wrong_token_is_unauthorized_once(ask, kubelet):
    """One error a poll; whoever asks within the next 15 s is told to come back later."""
    asker = ask()
    asker.token_file.write_text("another-secret")
    assert asker.failure().reason == "unauthorized"
    with pytest.raises(NotYet):
        asker.container(LOGS)
    assert kubelet.requests == 1


def test_a_role_without_the_permission_is_forbidden(ask, kubelet):
    kubelet.status = 403
    assert ask().failure().reason == "forbidden"


@pytest.mark.parametrize("status", [204, 302, 404, 500, 503])
def test_other_statuses_are_http_errors(ask, kubelet, status):
    """A redirect is not followed: the token belongs to the configured address."""
    kubelet.status = status
    error = ask().failure()
    assert error.reason == "http"
    assert str(status) in str(error)
    assert kubelet.requests == 1


def test_a_rotated_token_is_used_at_once(ask, kubelet):
    """The kubelet renews projected tokens by moving a link; the next poll carries the new one."""
    asker = ask()
    asker.container(WEB)
    kubelet.token = "the-next-secret"
    replacement = asker.token_file.with_name("token.new")
    replacement.write_text("the-next-secret")
    os.replace(replacement, asker.token_file)
    kubelet.body = pod_list(*PODS, pod("late", "shop", OTHER_UID))
    asker.clock.advance(15)
    assert asker.pod(OTHER_UID).pod_name == "late"


def test_known_names_outlive_a_failing_kubelet(ask, kubelet):
    """What the last good list said still holds while the next ones fail."""
    asker = ask()
    asker.container(WEB)
    kubelet.status = 500
    asker.clock.advance(15)
    with pytest.raises(ResolverError):
        asker.pod(OTHER_UID)
    assert asker.container(WEB).pod_name == "web-7d9f"


@pytest.mark.parametrize("drip", ["drip_s", "drip_headers_s"])
@pytest.mark.parametrize("length", [True, False])
def test_an_answer_that_drips_is_cut_off(ask, kubelet, drip, length):
    """A byte every 10 ms would go on for a minute and reset any timeout between bytes; 0.3 s are allowed."""
    kubelet.body = pod_list(*PODS) + b" " * 4000
    kubelet.length = length
    setattr(kubelet, drip, 0.01 if drip == "drip_s" else 0.1)
    assert ask(read_timeout_s=0.3).failure().reason == "timeout"


def test_a_server_that_never_speaks_is_a_timeout(ask):
    """It accepts the connection and leaves the TLS handshake unanswered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asker = ask(url=f"https://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.2)
        assert asker.failure().reason == "timeout"


def test_nobody_listening_is_named_by_its_errno(ask):
    assert ask(url=f"https://127.0.0.1:{free_port()}").failure().reason == "econnrefused"


def test_a_server_without_tls_gets_no_token(ask):
    """The TLS handshake fails before anything of the request is sent."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as plain:
        asker = ask(url=f"https://127.0.0.1:{plain.getsockname()[1]}", connect_timeout_s=5.0)

        def speak():
            connection, _ = plain.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        assert asker.failure().reason == "tls"
        thread.join()
    assert TOKEN.encode() not in heard[0]


@pytest.mark.parametrize("length", [True, False])
def test_a_huge_body_is_refused(ask, kubelet, length):
    """1 MiB and one byte where 1 MiB is allowed, whether the length was announced or not."""
    kubelet.body = pod_list(*PODS).ljust((1 << 20) + 1)
    kubelet.length = length
    assert ask(body_limit=1 << 20).failure().reason == "too_large"
    kubelet.body = kubelet.body[:-1]
    assert ask(body_limit=1 << 20).container(WEB).pod_name == "web-7d9f"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1, 2]",
        b"<html>",
        b'{"items": 7}',
        b'{"items": [{"metadata"',
        b'{"items": "\xff"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["empty", "null", "list", "html", "items", "cut", "not-utf8", "deep"],
)
def test_what_is_no_list_of_pods_is_a_parse_error(ask, kubelet, body):
    kubelet.body = body
    assert ask().failure().reason == "parse"


def test_a_body_cut_short_is_an_error(ask, kubelet):
    """Fewer bytes than announced: the connection broke, and nothing is taken from it."""
    kubelet.pause = lambda seconds: False
    kubelet.drip_s = 1.0
    assert ask().failure().reason == "http"


@pytest.mark.parametrize(
    "content", ["", "two words", "line\nbreak", "caf\u00e9-secret", "null\x00byte"], ids=repr
)
def test_a_file_without_a_token_is_told_apart(ask, kubelet, content):
    """Such text would break the request's header, and then stand in an error message."""
    asker = ask()
    asker.token_file.write_text(content, encoding="utf-8")
    assert asker.failure().reason == "parse"
    assert kubelet.requests == 0


def test_a_missing_token_or_ca_file_is_named_by_its_errno(ask):
    asker = ask()
    asker.token_file.unlink()
    assert asker.failure().reason == "enoent"
    assert ask(ca_file="/nonexistent/ca.pem").failure().reason == "enoent"


def test_a_fifo_in_place_of_the_token_does_not_block(ask):
    asker = ask()
    asker.token_file.unlink()
    os.mkfifo(asker.token_file)
    assert asker.failure().reason == "not_regular"


def test_a_ca_file_without_a_certificate_is_a_tls_error(ask, tmp_path):
    (tmp_path / "empty.pem").write_text("nothing here\n")
    assert ask(ca_file=str(tmp_path / "empty.pem")).failure().reason == "tls"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:10255", "127.0.0.1:10250", "https://", "https://a:b@c", "https://x:notaport"]
)
def test_only_https_addresses_are_accepted(url):
    """Plain HTTP would hand the token to whoever listens."""
    with pytest.raises(SettingsError, match=r"names\.kubelet\.url"):
        KubeletClient(url)


def test_one_strange_pod_does_not_hide_the_others():
    """Statuses that are null or missing, and pods that are none, cost only themselves."""
    null = pod("starting", "shop", OTHER_UID)
    null["status"]["containerStatuses"] = None
    null["metadata"]["labels"] = None
    waiting = pod("waiting", "shop", "x", containers=[("a", "b", "")])
    broken = {"metadata": {"name": 7}}
    index = index_pods(pod_list(broken, null, waiting, *PODS))
    assert index.pods.keys() == {OTHER_UID, "x", UID, HASH}
    assert index.containers.keys() == {WEB, LOGS, SETUP, DEBUG, ETCD}


def test_of_two_labels_with_one_fact_the_first_allowed_wins():
    """`a.b` and `a-b` both become label_a_b."""
    body = pod_list(pod("p", "n", UID, labels={"a.b": "dot", "a-b": "dash"}))
    assert index_pods(body, ["a-b", "a.b"]).pods[UID].facts == (("label_a_b", "dash"),)
