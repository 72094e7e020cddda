"""Keys are rotated without a pause, and pruned only by who knows what that means."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from hub.settings import HubSettings
from models.domain.server_spec import SpecInvalid, verify_spec
from models.domain.settings import Settings
from tests.unit.deploy.deployment import DEPLOY, contents, environment_of, modes, run, signed, worker_settings
from workflows.codec import EncryptionCodec, PayloadUnreadable


def rotate(secrets: Path, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(DEPLOY / "rotate-keys.sh"), *options, str(secrets)]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, input=answer, env=environment, capture_output=True, text=True, timeout=60)


def codec_of(secrets: Path, service: str) -> EncryptionCodec:
    return EncryptionCodec.from_setting(Settings.from_environment(environment_of(service, secrets)).payload_keys)


async def test_rotated_payload_keys_encrypt_anew_and_still_read_what_is_old(own_secrets: Path) -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"something"')
    before = codec_of(own_secrets, "worker")
    (old,) = await before.encode([payload])

    done = rotate(own_secrets)

    assert done.returncode == 0, done.stderr
    after = codec_of(own_secrets, "api")
    (new,) = await after.encode([payload])
    assert (old.metadata["encryption-key-id"], new.metadata["encryption-key-id"]) == (b"1", b"2")
    assert await after.decode([old, new]) == [payload, payload]
    with pytest.raises(PayloadUnreadable):
        await before.decode([new])
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    assert await codec_of(own_secrets, "worker").decode([new]) == [payload]
    with pytest.raises(PayloadUnreadable):
        await codec_of(own_secrets, "worker").decode([old])


def test_rotated_spec_key_is_believed_beside_the_old_one_until_that_is_pruned(
    own_secrets: Path, tmp_path: Path
) -> None:
    hub = HubSettings.from_environment(environment_of("jupyterhub", own_secrets))
    before = worker_settings(own_secrets, tmp_path)
    old = signed(before)

    assert rotate(own_secrets).returncode == 0

    # A worker that still runs goes on with the key that it has; one that starts takes the new one.
    after = worker_settings(own_secrets, tmp_path)
    assert (before.spec_key_id, after.spec_key_id) == ("1", "2")
    for token in (old, signed(before), signed(after)):
        assert verify_spec(token, hub.public_keys()).server_id == "s1"
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    assert verify_spec(signed(after), hub.public_keys()).server_id == "s1"
    with pytest.raises(SpecInvalid) as refusal:
        verify_spec(old, hub.public_keys())
    assert refusal.value.code == "unknown-key"
    assert worker_settings(own_secrets, tmp_path).spec_key_id == "2"


def test_rotation_leaves_all_else_and_can_be_repeated(own_secrets: Path) -> None:
    # Ids are numbers and no texts: after 9 comes 10, and after 10 no 10.
    payload_key = (own_secrets / "payload-keys").read_text().removeprefix("1:")
    (own_secrets / "payload-keys").write_text(f"9:{payload_key}")
    (own_secrets / "spec-signing-keys" / "current").write_text("9\n")
    for kind in ("spec-keys", "spec-signing-keys"):
        (own_secrets / kind / "1.pem").rename(own_secrets / kind / "9.pem")
    before = contents(own_secrets)

    for _ in range(2):
        assert rotate(own_secrets).returncode == 0

    after = contents(own_secrets)
    made_anew = {f"{kind}/{number}.pem" for kind in ("spec-keys", "spec-signing-keys") for number in (10, 11)}
    assert set(after) - set(before) == made_anew
    assert {name for name in before if before[name] != after[name]} == {"payload-keys", "spec-signing-keys/current"}
    assert re.findall(rb"(\d+):", after["payload-keys"]) == [b"11", b"10", b"9"]
    assert after["payload-keys"].endswith(before["payload-keys"])
    assert after["spec-signing-keys/current"] == b"11\n"
    assert modes(own_secrets) == ({0o600}, {0o700})
    # Whoever makes secrets that are missing leaves it all as it is.
    assert run(str(DEPLOY / "make-secrets.sh"), str(own_secrets)).returncode == 0
    assert contents(own_secrets) == after


@pytest.mark.parametrize("answer", ["", "no\n", "y\n"])
def test_nothing_is_pruned_unless_one_says_yes_to_what_that_means(answer: str, own_secrets: Path) -> None:
    rotate(own_secrets)
    before = contents(own_secrets)

    done = rotate(own_secrets, "--prune", answer=answer)

    assert done.returncode != 0
    assert contents(own_secrets) == before
    retention = re.search(r"--retention (\d+)h", (DEPLOY / "temporal" / "setup.sh").read_text())
    assert retention is not None
    assert f"retention ({int(retention[1]) // 24} days)" in done.stderr
    assert "two minutes" in done.stderr
    assert "Payload keys (1)" in done.stderr
    assert "Spec keys (1)" in done.stderr


def test_pruning_keeps_the_current_keys(own_secrets: Path) -> None:
    before = contents(own_secrets)

    assert rotate(own_secrets, "--prune").returncode == 0
    assert contents(own_secrets) == before

    rotate(own_secrets)
    rotate(own_secrets)
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    after = contents(own_secrets)
    assert {name for name in after if "spec-" in name} == {
        *("spec-keys/3.pem", "spec-signing-keys/3.pem", "spec-signing-keys/current")
    }
    assert re.fullmatch(rb"3:[A-Za-z0-9_-]{43}=\n", after["payload-keys"])
    assert modes(own_secrets) == ({0o600}, {0o700})


def test_rotation_needs_keys_that_were_made(tmp_path: Path) -> None:
    done = rotate(tmp_path)

    assert done.returncode != 0
    assert "make-secrets.sh" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_worker_does_not_start_without_a_key(own_secrets: Path, tmp_path: Path) -> None:
    (own_secrets / "spec-signing-keys" / "current").unlink()

    with pytest.raises(AssertionError, match="current"):
        worker_settings(own_secrets, tmp_path)
