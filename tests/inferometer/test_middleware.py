"""The middleware written as one file by the command line."""

import zipfile


def test_the_one_file_is_written_and_how_to_use_it_is_said(cli, tmp_path):
    file = tmp_path / "inferometer-middleware.zip"
    said = cli("middleware", file)
    assert said.code == 0
    assert f"PYTHONPATH={file}" in said.out
    assert "--middleware collector.requests.middleware.InferometerMiddleware" in said.out
    assert "collector/requests/middleware.py" in zipfile.ZipFile(file).namelist()


def test_a_folder_that_is_not_there_is_said(cli, tmp_path):
    said = cli("middleware", tmp_path / "none" / "m.zip")
    assert said.code == 1 and "No such file or directory" in said.err
