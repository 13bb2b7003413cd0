//! IDX files of unsigned bytes as bytes: a writer and a judge, both apart from the library's reader.

/// The file with these dimensions and elements.
pub fn encode(dims: &[usize], data: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|&dim| file.extend((dim as u32).to_be_bytes()));
    file.extend(data);
    file
}

/// How many elements an array of these dimensions has, as far as can be counted; none if a dimension is 0, however large
/// the others are.
pub fn product(dims: impl Iterator<Item = u64> + Clone) -> u128 {
    let zero = dims.clone().any(|dim| dim == 0);
    if zero { 0 } else { dims.fold(1, |product, dim| product.saturating_mul(dim.into())) }
}

/// Where the elements start and how many the header announces; `None` if this is no header of at least one dimension.
fn announced(file: &[u8]) -> Option<(usize, u128)> {
    let [0, 0, 8, rank, dims @ ..] = file else { return None };
    let dims = dims.get(..4 * usize::from(*rank)).filter(|dims| !dims.is_empty())?;
    Some((4 + dims.len(), product(dims.as_chunks().0.iter().map(|&dim| u32::from_be_bytes(dim).into()))))
}

/// Whether these bytes are one whole file, no byte too few and none too many.
pub fn is_valid(file: &[u8]) -> bool {
    announced(file).is_some_and(|(start, len)| len == (file.len() - start) as u128)
}

/// A fair bound on the elements a reader may hold: as many as the file has and its header announces.
pub fn elements(file: &[u8]) -> usize {
    announced(file).map_or(0, |(start, len)| len.min((file.len() - start) as u128) as usize)
}
