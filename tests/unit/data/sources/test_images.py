from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from edgecomp.data.sources.images import fitted, stacked
from edgecomp.errors import DataError


def png(mode: str, size: tuple[int, int] = (6, 4), form: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, form, **options)
    return file.getvalue()


def stack(*files: bytes, image_size: int | None = None, mode: str | None = None) -> np.ndarray:
    return stacked(len(files), lambda i: BytesIO(files[i]), lambda i: f"file {i}", image_size, mode)


def refused(*files: bytes, image_size: int | None = None, mode: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        stack(*files, image_size=image_size, mode=mode)
    return str(caught.value)


def test_images_are_bytes_with_channels_first() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    images = stack(file.getvalue(), png("RGB", (7, 5)))
    assert (images.dtype, images.shape) == (np.uint8, (2, 3, 5, 7))
    np.testing.assert_array_equal(images[0], pixels.transpose(2, 0, 1))
    assert stack(png("L")).shape == (1, 1, 4, 6)


def test_mixed_sizes_are_named_with_an_example_each_and_resized_where_wanted() -> None:
    files = [png("L", (8, 8)), png("L", (9, 8)), png("L", (8, 8))]
    message = refused(*files)
    assert "2 sizes (2 of 8×8, such as file 0; 1 of 9×8, such as file 1): set data.image_size" in message
    assert "mode" not in message
    assert stack(*files, image_size=5).shape == (3, 1, 5, 5)


def test_many_sizes_are_not_all_listed() -> None:
    assert "of 9 sizes" in refused(*(png("L", (side, 4)) for side in range(1, 10)))
    assert "and 5 more sizes" in refused(*(png("L", (side, 4)) for side in range(1, 10)))


def test_mixed_modes_are_named_with_an_example_each_and_converted_where_wanted() -> None:
    files = [png("L"), png("RGB")]
    assert "2 modes (1 of RGB, such as file 1; 1 of L, such as file 0): set data.mode" in refused(*files)
    assert stack(*files, mode="RGB").shape == (2, 3, 4, 6)
    assert stack(*files, mode="L").shape == (2, 1, 4, 6)


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA"])
def test_other_modes_need_a_conversion(mode: str) -> None:
    assert f"file 0: is of mode {mode}, neither grey (L) nor RGB" in refused(png(mode))
    assert stack(png(mode), mode="RGB").shape == (1, 3, 4, 6)


def test_a_palette_with_transparency_converts_without_a_warning() -> None:
    assert stack(png("P", transparency=bytes([0, 128])), mode="RGB").shape == (1, 3, 4, 6)


def test_sixteen_bits_a_channel_are_refused_and_never_clipped() -> None:
    assert "more than 8 bits a channel" in refused(png("I;16"))
    assert "more than 8 bits a channel" in refused(png("I;16"), mode="L")
    assert "more than 8 bits a channel" in refused(png("F", form="TIFF"), mode="L")


def test_a_photograph_is_turned_as_its_orientation_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90°
    turned = png("RGB", (6, 4), "JPEG", exif=exif.tobytes())
    assert stack(turned).shape == (1, 3, 6, 4)
    assert "1 of 6×4, such as file 1; 1 of 4×6, such as file 0" in refused(turned, png("RGB", (6, 4)))


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_what_is_cut_short_is_refused_with_its_name(
    form: str, lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lenient: as WeasyPrint, which writes a report as PDF, tells Pillow to be."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, form)
    whole = file.getvalue()
    for cut in (0, 3, 20, len(whole) // 2, len(whole) * 9 // 10):
        assert "file 1: cannot be read as an image" in refused(whole, whole[:cut], mode="RGB")
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_what_is_no_image_is_refused_with_its_name() -> None:
    assert "file 1: cannot be read as an image: it is in no known image format" in refused(png("L"), b"hello")
    with pytest.raises(DataError, match="gone: cannot be read as an image: No such file"):
        stacked(1, lambda _: Path("/nowhere/gone.png"), lambda _: "gone", None, None)


def test_arrays_are_fitted_as_files_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 9, 5)).astype(np.uint8)
    assert fitted(pixels, None, None, "x") is pixels
    files = []
    for image in pixels:
        file = BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "PNG")
        files.append(file.getvalue())
    for size, mode in ((4, None), (None, "L"), (4, "L"), (12, "RGB")):
        np.testing.assert_array_equal(
            fitted(pixels, size, mode, "x"), stack(*files, image_size=size, mode=mode)
        )
    two_channels = pixels[:, :2]
    assert fitted(two_channels, 4, None, "x").shape == (2, 2, 4, 4)
    with pytest.raises(DataError, match="2 channels cannot become L"):
        fitted(two_channels, None, "L", "x")
