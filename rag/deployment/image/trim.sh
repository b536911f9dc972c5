#!/bin/sh
# Removes from a folder of packages what the service never imports, and symbols for debuggers.
set -eu
cd "$1"

# Arrow: its RPC, object stores, headers and tests. Its other libraries are linked by pyarrow.lib.
rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests
rm -f pyarrow/*flight* pyarrow/*_s3* pyarrow/*_gcsfs* pyarrow/*azure* pyarrow/*_orc* pyarrow/_pyarrow_cpp_tests*
rm -f pyarrow/*.pxd pyarrow/*.pyx pyarrow/*.pxi
# A wheel has no links, so this library is there three times.
for copy in pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.*; do
  target=$(ls pyarrow/libarrow_python.so.* | grep -E '\.so\.[0-9]+$')
  [ "$copy" = "$target" ] || ln -sf "$(basename "$target")" "$copy"
done

# botocore: the descriptions of services that are not called.
for service in botocore/data/*/; do
  case "$(basename "$service")" in
    bedrock*|dynamodb|s3|sso|sso-oidc|signin|sts) ;;
    *) rm -rf "$service" ;;
  esac
done
rm -rf boto3/data/*/ boto3/examples bin

find . -type d -name tests -prune -exec rm -rf {} +
# Those in *.libs were changed by auditwheel, which strip may break.
if command -v strip >/dev/null; then
  find . -type f -name '*.so*' ! -path './*.libs/*' -size +400k -exec strip --strip-debug {} +
fi

# Without ONNX Runtime the local model cannot run.
[ -d onnxruntime ] || rm -rf rag/embedding/models/minilm
# What serves nobody: the emulator, suites for tests, the sample.
rm -rf rag/emulator rag/testing rag/sample
