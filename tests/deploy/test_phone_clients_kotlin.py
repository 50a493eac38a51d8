"""The Kotlin client in docs/clients.md, compiled where a compiler is installed; its alignment is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from facekd.data.alignment.landmarks import reference_landmarks, similarity_transform, warp_face
from tests.deploy.phone_clients import blocks

DECLARATIONS = """
android.graphics.Bitmap
  public class Bitmap {
  public int getWidth() { return 0; }
  public int getHeight() { return 0; }
  public void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height) {} }
android.system.Os
  public class Os { public static void setenv(String name, String value, boolean overwrite) {} }
org.json.JSONObject
  public class JSONObject {
  public JSONObject(String text) {}
  public String getString(String key) { return key; }
  public int getInt(String key) { return 0; }
  public double optDouble(String key) { return 0; }
  public JSONObject getJSONObject(String key) { return this; }
  public JSONObject optJSONObject(String key) { return null; }
  public JSONArray getJSONArray(String key) { return null; } }
org.json.JSONArray
  public class JSONArray { public String getString(int index) { return null; } }
ai.onnxruntime.OrtEnvironment
  public final class OrtEnvironment implements AutoCloseable {
  public static OrtEnvironment getEnvironment() { return null; }
  public void setTelemetry(boolean send) throws OrtException {}
  public OrtSession createSession(String path, OrtSession.SessionOptions options) throws OrtException { return null; }
  public void close() {} }
ai.onnxruntime.OrtException
  public class OrtException extends Exception {}
ai.onnxruntime.OrtSession
  public class OrtSession implements AutoCloseable {
  public Result run(java.util.Map<String, ? extends OnnxTensorLike> inputs) throws OrtException { return null; }
  public void close() throws OrtException {}
  public static class SessionOptions implements AutoCloseable {
    public void setIntraOpNumThreads(int count) throws OrtException {}
    public void close() {} }
  public static class Result implements AutoCloseable {
    public OnnxValue get(int index) { return null; }
    public java.util.Optional<OnnxValue> get(String name) { return null; }
    public void close() {} } }
ai.onnxruntime.OnnxTensorLike
  public abstract class OnnxTensorLike implements OnnxValue {}
ai.onnxruntime.OnnxValue
  public interface OnnxValue extends AutoCloseable { Object getValue() throws OrtException; void close(); }
ai.onnxruntime.OnnxTensor
  public class OnnxTensor extends OnnxTensorLike {
  public static OnnxTensor createTensor(OrtEnvironment e, java.nio.FloatBuffer data, long[] shape) { return null; }
  public Object getValue() { return null; }
  public void close() {} }
"""
"""Java declarations in place of the libraries of Android and ONNX Runtime, with the members that the client calls."""
MAIN = """
fun main() {
    val pixels = IntArray(40 * 30) { (it * 7919 + it * it * 31) and 0xffffff }
    val points = doubleArrayOf(8.0, 9.0, 21.0, 7.5, 15.0, 14.0, 10.0, 20.0, 20.0, 21.5)
    val matrix = similarityTransform(points, referenceLandmarks(48))
    println(listOf(matrix.toList(), cropFace(pixels, 40, 30, matrix, 48).toList()))
}
"""


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Compiles the first programs of the page in a folder with the declarations of the libraries."""
    if shutil.which("kotlinc") is None:
        pytest.skip("kotlinc is not installed")
    folder = tmp_path_factory.mktemp("kotlin")
    for full_name, text in re.findall(r"^(\S+)\n((?: .*\n)+)", DECLARATIONS, re.MULTILINE):
        package, _, name = full_name.rpartition(".")
        (folder / f"{name}.java").write_text(f"package {package};\n{text}", encoding="utf-8")
    alignment, embedder, use = blocks("kotlin")
    imports = "import android.graphics.Bitmap\nimport java.io.File\n"
    for name, text in {"Alignment": alignment, "Embedder": embedder, "Use": imports + use, "Main": MAIN}.items():
        (folder / f"{name}.kt").write_text(text, encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_the_kotlin_compiler_accepts_every_program(kotlin: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    names = re.findall(r"^\w[\w.]*\.(\w+)$", DECLARATIONS, re.MULTILINE)
    sources = ["Alignment.kt", "Embedder.kt", "Use.kt", *(f"{name}.java" for name in names)]
    compiled = kotlin("kotlinc", *sources, "-d", "out")
    assert compiled.returncode == 0, compiled.stderr


def test_the_alignment_gives_the_same_as_compiled_kotlin(
    kotlin: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    compiled = kotlin("kotlinc", "Alignment.kt", "Main.kt", "-include-runtime", "-d", "main.jar")
    assert compiled.returncode == 0, compiled.stderr
    matrix, crop = json.loads(kotlin("java", "-jar", "main.jar").stdout)
    points = np.array([[8, 9], [21, 7.5], [15, 14], [10, 20], [20, 21.5]])
    assert matrix == pytest.approx(similarity_transform(points, reference_landmarks(48)).ravel(), abs=1e-12)
    pixels = np.array([(i * 7919 + i * i * 31) & 0xFFFFFF for i in range(40 * 30)]).reshape(30, 40)
    photo = np.dstack([pixels >> 16 & 255, pixels >> 8 & 255, pixels & 255]).astype(np.uint8)
    difference = np.abs(np.moveaxis(np.array(crop).reshape(3, 48, 48), 0, 2) - warp_face(photo, points, 48))
    assert difference.max() <= 1
