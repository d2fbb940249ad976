//! Zip archives that are something else than a checkpoint of torch.save, by the names in them.

use std::io::Cursor;

use zip::ZipArchive;

use crate::bytes::Bytes;

/// What the zip archive in `file` is, and what to give in its place; `None` where its names do not say.
pub(super) fn other_than_weights(file: &Bytes) -> Option<(String, String)> {
    let archive = ZipArchive::new(Cursor::new(file.as_slice())).ok()?;
    let names: Vec<_> = archive.file_names().flatten().collect();
    let any = |is: &dyn Fn(&str) -> bool| names.iter().any(|name| is(name));
    let said = |what: &str, next: &str| Some((what.to_owned(), next.to_owned()));
    let exported = "give the weights that it was exported from (.safetensors, .bin, .pt or .ckpt)";
    if any(&|name| name.ends_with("serialized_exported_program.json"))
        || any(&|name| name.ends_with("/archive_format") || name == "archive_format")
    {
        return said("a program of torch.export (.pt2)", exported);
    }
    if any(&|name| name.ends_with("constants.pkl") || name.contains("/code/")) {
        return said(
            "a TorchScript program (torch.jit.save), not a state dict",
            "give the weights that it was made from; torch.jit.load(F).state_dict(), saved with \
             torch.save, has them too",
        );
    }
    if any(&|name| name.ends_with("model.weights.h5")) {
        return said(
            "a Keras model (.keras)",
            "give the PyTorch weights of the same model (.safetensors, .bin, .pt or .ckpt)",
        );
    }
    if any(&|name| name.ends_with(".mlmodel") || name.contains("com.apple.CoreML")) {
        return said("a packed Core ML model (.mlpackage)", exported);
    }
    if any(&|name| name.ends_with("saved_model.pb")) {
        return said("a packed TensorFlow model (SavedModel)", exported);
    }
    if any(&|name| name.ends_with(".npy")) {
        return said(
            "an archive of NumPy arrays (.npz)",
            "save them as .safetensors: safetensors.numpy.save_file(dict(numpy.load(F)), OUT)",
        );
    }
    let endings = [".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".gguf"];
    let inside = names.iter().find(|name| endings.iter().any(|ending| name.ends_with(ending)))?;
    let inside: String = inside.chars().take(100).flat_map(char::escape_debug).collect();
    Some((format!("a zip archive with {inside} in it"), format!("unpack it, and give {inside}")))
}
