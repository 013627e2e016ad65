"""AWS's common runtime as a command line client, for `cargo xtask bench`.

Owns: one transfer with the CRT's S3 client at its defaults, over plain HTTP, path style.
Must never: do work of its own that would be measured as the CRT's.

    crt_client.py up FILE BUCKET KEY
    crt_client.py down BUCKET KEY FILE
    crt_client.py cat BUCKET KEY
    crt_client.py idle            starts the client and ends: what Python itself costs
"""

import os
import sys
from urllib.parse import quote, urlsplit

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, create_default_s3_signing_config


def client(region):
    provider = AwsCredentialsProvider.new_environment()
    signing = create_default_s3_signing_config(region=region, credential_provider=provider)
    return S3Client(region=region, tls_mode=S3RequestTlsMode.DISABLED, signing_config=signing)


def request(method, host, bucket, key, length=None):
    headers = HttpHeaders([("host", host)])
    if length is not None:
        headers.add("content-length", str(length))
        headers.add("content-type", "application/octet-stream")
    return HttpRequest(method, f"/{bucket}/{quote(key)}", headers)


def write_all(chunk, **_):
    view = memoryview(chunk)
    while view:
        view = view[os.write(1, view) :]


def main(verb, *arguments):
    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    s3 = client(os.environ["AWS_REGION"])
    if verb == "idle":
        return
    if verb == "up":
        path, bucket, key = arguments
        put = request("PUT", host, bucket, key, os.stat(path).st_size)
        done = s3.make_request(type=S3RequestType.PUT_OBJECT, request=put, send_filepath=path)
    elif verb == "down":
        bucket, key, path = arguments
        get = request("GET", host, bucket, key)
        done = s3.make_request(type=S3RequestType.GET_OBJECT, request=get, recv_filepath=path)
    elif verb == "cat":
        bucket, key = arguments
        get = request("GET", host, bucket, key)
        done = s3.make_request(type=S3RequestType.GET_OBJECT, request=get, on_body=write_all)
    else:
        sys.exit(f"unknown verb {verb}")
    done.finished_future.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
