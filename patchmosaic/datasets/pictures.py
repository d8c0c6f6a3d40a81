"""Encoded images to pictures of 8 bits a channel, upright, in sRGB; transparency is kept."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
TWELVE_BITS = 1 << 12
PROFILE_MODES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}

REMARKS = {
    "transparent": "with transparent pixels",
    "profile": "converted to sRGB by their colour profiles",
    "bad profile": "with an unreadable or unfitting colour profile, taken as sRGB",
    "16 bits": "of 16 bits a channel, of which the upper 8 are kept",
    "dark": "of 16 bits, all of their values below 4096: if they hold 12 bits, they are read as "
    "nearly black; multiply them by 16",
    "turned": "turned upright by their EXIF tag",
}
"""What `decode` counts, in words."""


class PictureError(ValueError):
    """Content that is no picture that can be read."""


def decode(content: bytes, remarks: Counter[str]) -> Image.Image:
    """The picture in an encoded image: mode L, LA, RGB or RGBA, sRGB, upright.

    16 bits a channel become the upper 8. remarks: counts of REMARKS, to which the picture's are
    added. Raises PictureError for content that is damaged, of no format of FORMATS, of several
    frames, or of pixels whose range is not known (32-bit integers, floating point).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            # A camera's MPO holds previews beside the picture, which is its first.
            if (frames := getattr(picture, "n_frames", 1)) > 1 and picture.format != "MPO":
                raise PictureError(f"it holds {frames} frames, expected one; save one of them")
            deep = _holds_16_bits(picture)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            found = _eight_bits(upright, picture.format, remarks)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"it is none of {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow lets through whatever its parsers of broken files raise
        raise PictureError(str(error)) from error
    remarks["16 bits"] += deep or upright.mode.startswith("I")
    remarks["turned"] += upright.size != picture.size or picture.getexif().get(0x0112, 1) != 1
    colour, alpha = _apart(found)
    colour = _in_srgb(colour, picture.info.get("icc_profile"), remarks)
    if alpha is None or alpha.getextrema()[0] == 255:
        return colour
    remarks["transparent"] += 1
    colour.putalpha(alpha)
    return colour


def _holds_16_bits(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow is about to take the upper 8 bits of 16."""
    raw = str(picture.tile[0][3]) if picture.tile else ""
    return ";16" in raw and not picture.mode.startswith("I")


def _eight_bits(picture: Image.Image, kind: str | None, remarks: Counter[str]) -> Image.Image:
    """Gray of 16 bits by its upper 8, as Pillow reads colours of 16 bits."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind == "PPM"):
        values = np.asarray(picture).astype(np.int64)  # (height, width)
        remarks["dark"] += bool(0 < values.max() < TWELVE_BITS)
        gray = Image.fromarray((values >> 8).astype(np.uint8))
        if (hidden := picture.info.get("transparency")) is not None:
            gray.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
        return gray
    if picture.mode not in MODES:
        raise PictureError(f"it has pixels of mode {picture.mode}, expected 8 or 16 bits a channel")
    hidden = picture.info.get("transparency")
    if picture.mode == "RGB" and isinstance(hidden, tuple) and max(hidden) > 255:
        # As the file has it, of 16 bits, while the pixels are of 8 by now.
        picture.info["transparency"] = tuple(value >> 8 for value in hidden)
    return picture


def _apart(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours (mode L, RGB or CMYK) and opacity (mode L), which is None where there is none."""
    if picture.has_transparency_data or picture.mode in ("La", "RGBa"):
        gray = picture.mode in ("1", "L", "LA", "La")
        both = picture.convert("RGBA")
        alpha = both.getchannel("A")
        return both.convert("RGB").convert("L") if gray else both.convert("RGB"), alpha
    mode = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(picture.mode, "RGB")
    return picture.convert(mode), None


def _in_srgb(colour: Image.Image, profile: bytes | None, remarks: Counter[str]) -> Image.Image:
    """Colours by their embedded profile, in sRGB: mode RGB; gray without one stays L."""
    if profile:
        transform = _transform(profile, colour.mode)
        remarks["bad profile" if transform is None else "profile"] += 1
        if transform is not None:
            return transform.apply(colour)
    return colour.convert("RGB") if colour.mode == "CMYK" else colour


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB, perceptual; None where it is broken or of other colours than mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if PROFILE_MODES.get(source.profile.xcolor_space) != mode:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
