//! `.npy` files of version 1 in row-major order, as the golden values are kept.

/// The values of a file of little-endian f32 or of u8, and the length of a row; 1 for a vector.
pub(crate) fn read(file: &[u8]) -> (Vec<f32>, usize) {
    let (magic, rest) = file.split_at(8);
    assert_eq!(magic, b"\x93NUMPY\x01\x00", "a .npy file of version 1");
    let (length, rest) = rest.split_at(2);
    let (header, data) = rest.split_at(usize::from(u16::from_le_bytes([length[0], length[1]])));
    let header = std::str::from_utf8(header).expect("a header in ASCII");
    assert!(header.contains("'fortran_order': False"), "{header}");
    let (_, shape) = header.split_once("'shape': (").expect("a shape");
    let (shape, _) = shape.split_once(')').expect("its end");
    let shape: Vec<usize> = shape.split(',').filter_map(|length| length.trim().parse().ok()).collect();
    let values: Vec<f32> = if header.contains("'descr': '<f4'") {
        data.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()
    } else {
        assert!(header.contains("'descr': '|u1'"), "{header}");
        data.iter().map(|&value| value.into()).collect()
    };
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{header}");
    (values, shape.get(1).copied().unwrap_or(1))
}
