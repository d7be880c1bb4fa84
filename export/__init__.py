"""From corpora to the .onnx files in models/. Imports livesr; livesr never imports this."""
