"""The authors' published networks: their files are read without running anything in them."""

import http.server
import importlib
import struct
import sys
import threading
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from damage import truncate
from torch import nn

from patchmosaic.networks.authors import blob_id, convert, fetch_published, load_published
from patchmosaic.networks.build import build_network
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.torch_files import read_tensors
from patchmosaic.system.records import RecordError

ROOT = Path(__file__).parents[2]
PUBLISHED = load_published(ROOT / "numbers/authors.yaml")
KINDS = {
    "PaperResNet": "MinimalResNet",
    "PaperUNet": "MinimalUNet",
    "Block": "UBlock",
    "Embedding": "EmbeddingModule",
}
CLASSES = "".join(f"class {name}(nn.Module):\n    pass\n\n\n" for name in ("DDIM", *KINDS.values()))
NETWORKS = {
    "unet": NetworkConfig("unet_paper", channels=4, classes=3),
    "resnet": NetworkConfig("resnet_paper", channels=16, layers=2, padding="circular"),
}


@pytest.fixture
def models(monkeypatch, tmp_path):
    """Modules of the names that the published files refer to, only there while a file is made."""
    code = tmp_path / "code"
    (code / "utils").mkdir(parents=True)
    (code / "models.py").write_text(f"import os\n\nfrom torch import nn\n\n\n{CLASSES}")
    (code / "utils/__init__.py").touch()
    (code / "utils/noise_schedules.py").write_text("def cosine_noise_schedule(t):\n    return t\n")
    monkeypatch.syspath_prepend(code)
    for name in ("models", "utils", "utils.noise_schedules"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("models")
    for name in ("models", "utils", "utils.noise_schedules"):
        sys.modules.pop(name, None)


def dressed(module, models):
    """A module with the classes of the published files in place of ours."""
    if type(module).__name__ not in KINDS:
        for name, inner in module.named_children():
            setattr(module, name, dressed(inner, models))
        return module
    new = getattr(models, KINDS[type(module).__name__])()
    new.emb_dim, new.conditional = 256, True
    for name, parameter in module.named_parameters(recurse=False):
        new.register_parameter(name, parameter)
    for name, inner in module.named_children():
        new.add_module(name, dressed(inner, models))
    return new


def published_form(network, models):
    wrapper = models.DDIM()
    wrapper.in_channels = 1
    wrapper.backbone = dressed(network, models)
    schedules = importlib.import_module("utils.noise_schedules")
    wrapper.noise_schedule = schedules.cosine_noise_schedule
    return wrapper


def write(path, value, legacy=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def forget(*names):
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_come_out_of_whole_modules(kind, legacy, models, tmp_path):
    torch.manual_seed(1)
    config = NETWORKS[kind]
    network = build_network(config)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    path = write(tmp_path / "backbone.pt", published_form(network, models), legacy)
    forget("models", "utils", "utils.noise_schedules")
    sys.path.remove(str(tmp_path / "code"))
    found = convert(path, config)
    assert "models" not in sys.modules, "nothing of the file was imported"
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_state_dict_is_read_as_well(legacy, tmp_path):
    base = torch.arange(24, dtype=torch.float32)
    given = {"turned": base.reshape(4, 6).T[1:3], "part": base[5:8], "none": base[:0]}
    found = read_tensors(write(tmp_path / "weights.pt", given, legacy))
    assert all(torch.equal(found[name], given[name]) for name in given)


class Malicious:
    """What runs a command when it is unpickled in the usual way."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


class System(Malicious):
    def __reduce__(self):
        return eval, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("kind", "named"), [(Malicious, "builtin.*getattr"), (System, "builtin.*eval")]
)
def test_a_malicious_file_is_refused_and_does_not_run(kind, named, legacy, tmp_path):
    mark = tmp_path / "it-ran"
    path = write(tmp_path / "bad.pt", {"weight": torch.zeros(2), "more": kind(mark)}, legacy)
    with pytest.raises(RecordError, match=rf"bad\.pt: it names .*{named}.*nothing of it was run"):
        read_tensors(path)
    assert not mark.exists()
    called, arguments = kind(mark).__reduce__()
    called(*arguments)
    assert mark.exists(), "what the file asks for, done, leaves its mark"


def test_attributes_of_known_classes_are_not_called(models, tmp_path):
    """A stand-in stays one whatever is called by its name; a module of another place is refused."""
    module = published_form(build_network(NETWORKS["unet"]), models)
    module.loss = nn.MSELoss()
    read_tensors(write(tmp_path / "fine.pt", module))
    module.hook = warnings.warn
    with pytest.raises(RecordError, match=r"it names _?warnings\.warn"):
        read_tensors(write(tmp_path / "bad.pt", module))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 8}, r"has shape \(\d.*expected \("),
        ({"classes": 2}, r"class_embeddings.weight has shape \(3, 16\).*expected \(2, 16\)"),
        ({"classes": 0}, "it has embedding.class_embeddings.weight beside"),
        ({"architecture": "resnet_paper", "channels": 16}, "it lacks convs.0.0.bias"),
        ({"image_channels": 3}, r"has shape .*expected"),
    ],
)
def test_a_network_of_another_shape_is_refused(change, said, models, tmp_path):
    path = write(tmp_path / "net.pt", published_form(build_network(NETWORKS["unet"]), models))
    other = NetworkConfig(**{"architecture": "unet_paper", "channels": 4, "classes": 3} | change)
    with pytest.raises(RecordError, match=rf"net\.pt: .*{said}"):
        convert(path, other)


def test_weights_that_are_not_finite_are_refused(models, tmp_path):
    network = build_network(NETWORKS["unet"])
    with torch.no_grad():
        network.output_conv.bias[0] = float("nan")
    path = write(tmp_path / "net.pt", published_form(network, models))
    with pytest.raises(RecordError, match=r"output_conv\.bias holds numbers that are not finite"):
        convert(path, NETWORKS["unet"])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_truncated_files_are_refused(legacy, tmp_path):
    path = write(tmp_path / "net.pt", {"weight": torch.rand(1000)}, legacy)
    truncate(path)
    with pytest.raises(RecordError, match=r"net\.pt: "):
        read_tensors(path)
    path.write_bytes(b"")
    with pytest.raises(RecordError, match=r"net\.pt: "):
        read_tensors(path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"\x80\x02}(X\x01\x00\x00\x00aK\x05u.", "takes a int for a _Tensor"),
        (b"\x80\x02}.", "holds no tensors"),
        (b"\x80\x02c__builtin__\nset\n)R.", "takes a set for a dict"),
        (b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81K\x01b.", "takes a int for a dict"),
        (b"\x80\x02(iposix\nsystem\n.", "the opcode INST"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x02h\x07.", "not a whole file"),
        (b"\x80\x02}", "not a whole file"),
    ],
)
def test_programs_of_other_things_are_refused(program, said, tmp_path):
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", program)
    with pytest.raises(RecordError, match=said):
        read_tensors(path)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path, larger = write(tmp_path / "net.pt", {"weight": torch.rand(5)}), tmp_path / "larger.pt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(larger, "w") as made:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("data.pkl"):
                assert content.count(b"K\x05\x85") == 1  # the shape (5,)
                content = content.replace(b"K\x05\x85", b"K\x09\x85")
            made.writestr(name, content)
    with pytest.raises(RecordError, match=r"shape \(9,\) that reaches beyond its storage"):
        read_tensors(larger)


def _text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def _weight(shape, strides):
    """A state dict of one tensor in a storage of one number."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + b"NK\x01tQ"
    return (
        b"\x80\x02}" + _text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n"
        b"(" + storage + b"K\x00" + shape + strides + b"tRs."
    )


# Sixty tuples, each of the one before it twice: whoever hashes or prints them takes for ever.
NESTED = b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
NEW_MODULE = b"cmodels\nDDIM\n)\x81"


def _modules(depth):
    """A module that holds another twice, which holds another twice, and so on."""
    program = NEW_MODULE
    for i in range(depth):
        inner = _text("a") + program + b"q%c" % i + _text("b") + b"h%c" % i
        program = NEW_MODULE + b"}" + _text("_modules") + b"}(" + inner + b"usb"
    return program


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"\x80\x02}" + NESTED + b"Ns.", "has a tuple for a key"),
        (
            b"\x80\x02ccollections\nOrderedDict\n]](" + NESTED + b"Nea\x85R.",
            "has a tuple for a key",
        ),
        (b"\x80\x04\x8f(" + NESTED + b"\x90.", "has a tuple for a key"),
        (b"\x80\x04" + NESTED + _text("a") + b"\x93.", "takes a tuple for a str"),
        (b"\x80\x02" + NESTED + b"Q.", "takes a tuple for a str"),
        (_weight(NESTED, b")"), "takes a tuple for a int"),
        (b"\x80\x02" + _modules(48) + b".", "lie in each other without end"),
        (_weight(b"J\xff\xff\xff\x00\x85", b"K\x00\x85"), "reaches beyond its storage"),
    ],
)
def test_programs_that_would_take_for_ever_are_refused(program, said, tmp_path):
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made/data.pkl", program)
        archive.writestr("made/data/0", bytes(4))
    with pytest.raises(RecordError, match=said):
        read_tensors(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_compressed_files_are_refused(method, tmp_path):
    path = tmp_path / "made.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("made/data.pkl", _weight(b"K\x01\x85", b"K\x01\x85"))
        archive.writestr("made/data/0", bytes(4))
    with pytest.raises(RecordError, match=r"made/data\.pkl is compressed"):
        read_tensors(path)


def test_a_storage_of_another_length_is_refused(tmp_path):
    path = write(tmp_path / "net.pt", {"weight": torch.rand(5)}, legacy=True)
    content = path.read_bytes()
    assert content.count(struct.pack("<q", 5)) == 1
    path.write_bytes(content.replace(struct.pack("<q", 5), struct.pack("<q", 4)))
    with pytest.raises(RecordError, match=r"storage .* has 16 bytes, expected 20"):
        read_tensors(path)


def test_the_table_has_the_ten_networks_of_the_paper():
    assert len(PUBLISHED) == 10
    assert len({p.blob for p in PUBLISHED.values()}) == 10
    assert len({p.file for p in PUBLISHED.values()}) == 10
    for published in PUBLISHED.values():
        assert len(bytes.fromhex(published.blob)) == 20
        table = published.scale_table()
        assert list(table) == pytest.approx([0.05 * i for i in range(1, 21)])
        assert all(size % 2 for size in table.values())
        assert published.conditional == (published.dataset in ("cifar10", "fashion_mnist"))
    assert PUBLISHED["mnist", "resnet", "circular"].scale_table()[1.0] == 3


def test_blob_ids_are_those_of_git(tmp_path):
    (tmp_path / "file").write_bytes(b"hello\n")
    assert blob_id(tmp_path / "file") == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.fixture
def server(tmp_path):
    """A local web server of a folder; (its address, the folder)."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/", folder
        web.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_published_files_are_downloaded_and_verified(server, tmp_path):
    address, folder = server
    (folder / "net.pt").write_bytes(b"hello\n")
    published = replace(
        PUBLISHED["mnist", "unet", "zeros"],
        file="net.pt",
        blob="ce013625030ba8dba906f756967f9e9ca394464a",
        addresses=(f"{address}nowhere/", address),
    )
    path = fetch_published(published, tmp_path / "kept", retries=0)
    assert path.read_bytes() == b"hello\n"
    (folder / "net.pt").unlink()
    assert fetch_published(published, tmp_path / "kept") == path, "not asked for again"
    path.write_bytes(b"other")
    with pytest.raises(RecordError, match=r"net\.pt: expected git blob id ce01\w+, found"):
        fetch_published(published, tmp_path / "kept")


def test_other_files_than_the_published_are_refused(server, tmp_path):
    address, folder = server
    published = replace(PUBLISHED["mnist", "unet", "zeros"], addresses=(address,))
    (folder / published.file).write_bytes(b"hello")
    with pytest.raises(RecordError, match=rf"{address}: expected git blob id 67bea.*, found"):
        fetch_published(published, tmp_path / "kept", retries=0)
    assert not list((tmp_path / "kept").iterdir()), "nothing half-made"
    (folder / published.file).unlink()
    with pytest.raises(RecordError, match="HTTP status 404"):
        fetch_published(published, tmp_path / "kept", retries=0)
