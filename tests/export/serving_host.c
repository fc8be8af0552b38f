/* Runs one signature of a SavedModel through TensorFlow's C API: a session with no
   Python, as a model server has.

   serving_host DIR INPUT_OP=SPEC ... [++ INPUT_OP=SPEC ...] -- OUTPUT_OP:INDEX ...
     SPEC  string:D0xD1xD2:FILE   FILE holds, per element, int64 length and the bytes
           float:D0xD1x...:FILE   raw little-endian float32
   `++` starts another request of the same session, which shows that a bad one leaves it
   usable. Per request it prints `status CODE MESSAGE`, and if the code is 0, one line
   of numbers for each output. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MAX_TENSORS 16

static void die(const char* what, const char* detail) {
  fprintf(stderr, "%s: %s\n", what, detail);
  exit(2);
}

static TF_Tensor* read_tensor(char* spec) {
  char* type = strtok(spec, ":");
  char* shape = strtok(NULL, ":");
  char* path = strtok(NULL, "");
  int64_t dims[8], n = 1;
  int rank = 0;
  for (char* d = shape; rank < 8; ++rank) {
    dims[rank] = strtoll(d, &d, 10);
    n *= dims[rank];
    if (*d != 'x') { ++rank; break; }
    ++d;
  }
  FILE* f = fopen(path, "rb");
  if (!f) die("cannot open", path);
  TF_Tensor* tensor;
  if (!strcmp(type, "string")) {
    tensor = TF_AllocateTensor(TF_STRING, dims, rank, n * sizeof(TF_TString));
    TF_TString* strings = TF_TensorData(tensor);
    for (int64_t i = 0; i < n; ++i) {
      int64_t length;
      if (fread(&length, 8, 1, f) != 1) die("short file", path);
      char* bytes = malloc(length + 1);
      if (fread(bytes, 1, length, f) != (size_t)length) die("short file", path);
      TF_StringInit(strings + i);
      TF_StringCopy(strings + i, bytes, length);
      free(bytes);
    }
  } else {
    tensor = TF_AllocateTensor(TF_FLOAT, dims, rank, n * 4);
    if (fread(TF_TensorData(tensor), 4, n, f) != (size_t)n) die("short file", path);
  }
  fclose(f);
  return tensor;
}

static TF_Output find(TF_Graph* graph, char* name) {
  char* colon = strchr(name, ':');
  TF_Output output = {NULL, colon ? atoi(colon + 1) : 0};
  if (colon) *colon = 0;
  output.oper = TF_GraphOperationByName(graph, name);
  if (!output.oper) die("no such operation", name);
  return output;
}

int main(int argc, char** argv) {
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_Session* session = TF_LoadSessionFromSavedModel(
      TF_NewSessionOptions(), NULL, argv[1], tags, 1, graph, NULL, status);
  if (TF_GetCode(status)) die("load", TF_Message(status));
  TF_Output outputs[MAX_TENSORS];
  int num_outputs = 0, end = 2;
  while (end < argc && strcmp(argv[end], "--")) ++end;
  for (int i = end + 1; i < argc; ++i) outputs[num_outputs++] = find(graph, argv[i]);

  for (int i = 2; i < end; ++i) {
    TF_Output inputs[MAX_TENSORS];
    TF_Tensor *given[MAX_TENSORS], *answers[MAX_TENSORS] = {NULL};
    int n = 0;
    for (; i < end && strcmp(argv[i], "++"); ++i, ++n) {
      char* spec = strchr(argv[i], '=');
      *spec++ = 0;
      inputs[n] = find(graph, argv[i]);
      given[n] = read_tensor(spec);
    }
    TF_SessionRun(session, NULL, inputs, given, n, outputs, answers, num_outputs, NULL,
                  0, NULL, status);
    const char* message = TF_Message(status);
    int length = strcspn(message, "\n");
    printf("status %d %.*s\n", TF_GetCode(status), length, message);
    if (TF_GetCode(status)) continue;
    for (int k = 0; k < num_outputs; ++k) {
      const float* values = TF_TensorData(answers[k]);
      size_t count = TF_TensorByteSize(answers[k]) / 4;
      for (size_t j = 0; j < count; ++j) printf("%.9g ", values[j]);
      printf("\n");
      TF_DeleteTensor(answers[k]);
    }
    fflush(stdout);
  }
  return 0;
}
