//! A picture as PNG: 8-bit RGB, deflated.

use crate::{Error, ErrorKind, Result};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

/// Encodes `width * height` pixels of three bytes.
pub(super) fn encode(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Io, "the picture cannot be packed").fact("reason", e);
    let mut packed = ZlibEncoder::new(vec![], Compression::default());
    for row in pixels.chunks_exact(3 * width as usize) {
        // Each row begins with its filter: none.
        packed.write_all(&[0]).and_then(|()| packed.write_all(row)).map_err(failed)?;
    }
    let packed = packed.finish().map_err(failed)?;
    let mut head = vec![];
    head.extend(width.to_be_bytes());
    head.extend(height.to_be_bytes());
    // 8 bits, RGB, the only compression, the only filter method, not interlaced.
    head.extend([8, 2, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", &head[..]), (b"IDAT", &packed), (b"IEND", &[])] {
        out.extend((data.len() as u32).to_be_bytes());
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(data);
        out.extend(name);
        out.extend(data);
        out.extend(sum.sum().to_be_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    #[test]
    fn rows_are_packed_behind_their_filter() {
        let png = super::encode(2, 1, &[1, 2, 3, 4, 5, 6]).expect("memory");
        assert!(png.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
        let at = png.windows(4).position(|w| w == b"IDAT").expect("data");
        let mut row = vec![];
        flate2::read::ZlibDecoder::new(&png[at + 4..]).read_to_end(&mut row).expect("zlib");
        assert_eq!(row, [0, 1, 2, 3, 4, 5, 6]);
    }
}
