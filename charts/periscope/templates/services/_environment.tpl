{{- define "periscope.environment" -}}
{{- $root := .root -}}
- {name: PERISCOPE_SERVICE, value: {{ .name }}}
- {name: PERISCOPE_BIND, value: "0.0.0.0:8000"}
- {name: PERISCOPE_PROBE_BIND, value: "0.0.0.0:8001"}
- {name: PERISCOPE_WORK_DIR, value: /work}
{{- range $other := list "dataset" "training" "registry" }}
- {name: PERISCOPE_{{ upper $other }}_URL, value: {{ include "periscope.url" (dict "root" $root "name" $other) | quote }}}
{{- end }}
- {name: S3_ENDPOINT, value: {{ include "periscope.endpoint" $root | quote }}}
- {name: S3_PUBLIC_ENDPOINT, value: {{ $root.Values.store.publicEndpoint | default (include "periscope.endpoint" $root) | quote }}}
- {name: S3_BUCKET, value: {{ $root.Values.store.bucket | quote }}}
- {name: S3_REGION, value: {{ $root.Values.store.region | quote }}}
{{- $auth := $root.Values.auth.existingSecret }}
{{- $store := $root.Values.store.existingSecret }}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ $store }}, key: access-key-id}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ $store }}, key: secret-access-key}}}
- {name: PERISCOPE_ADMIN_TOKEN, valueFrom: {secretKeyRef: {name: {{ $auth }}, key: admin-token}}}
{{- if eq .name "training" }}
- {name: PERISCOPE_SERVICE_TOKEN, valueFrom: {secretKeyRef: {name: {{ $auth }}, key: service-token}}}
- {name: PERISCOPE_JOB_TOKEN_SECRET, valueFrom: {secretKeyRef: {name: {{ $auth }}, key: job-token-secret}}}
- {name: PERISCOPE_LAUNCHER, value: kubernetes}
- {name: PERISCOPE_MAX_CONCURRENT_JOBS, value: {{ $root.Values.trainings.maxConcurrentJobs | quote }}}
- {name: PERISCOPE_KUBERNETES, value: {{ include "periscope.trainings" $root | fromYaml | toJson | quote }}}
{{- end }}
{{- if and (eq .name "registry") $root.Values.auth.releaseSecret }}
- {name: PERISCOPE_RELEASE_KEY_FILE, value: /etc/periscope/release/release-key.pem}
- {name: PERISCOPE_ROOT_FILE, value: /etc/periscope/release/root-1.json}
{{- end }}
{{- range $name, $value := (index $root.Values.services .name).env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "periscope.trainings" -}}
{{- $given := .Values.trainings -}}
namespace: {{ $given.namespace }}
instance: {{ .Release.Name }}
image: {{ include "periscope.image" (dict "image" $given.image "path" "trainings.image") }}
image_pull_policy: {{ .Values.image.pullPolicy }}
image_pull_secrets: {{ toJson .Values.image.pullSecrets }}
store_secret: {{ $given.storeSecret }}
service_account: {{ .Release.Name }}-trainer
gpus: {{ $given.gpus }}
gpu_resource: {{ $given.gpuResource }}
nodes: {{ $given.nodes }}
cpu: {{ $given.cpu | quote }}
memory: {{ $given.memory }}
shared_memory: {{ $given.sharedMemory }}
scratch: {{ $given.scratch }}
node_selector: {{ toJson $given.nodeSelector }}
tolerations: {{ toJson $given.tolerations }}
env: { {{- range $name, $value := $given.env }}{{ $name }}: {{ $value | quote }}, {{ end -}} }
{{- with $given.runtimeClass }}
runtime_class: {{ . }}
{{- end }}
{{- with $given.priorityClass }}
priority_class: {{ . }}
{{- end }}
{{- with $given.queue }}
queue: {{ . }}
{{- end }}
{{- if $given.maxRuntimeSeconds }}
max_runtime_s: {{ $given.maxRuntimeSeconds }}
{{- end }}
{{- end }}
