{{- define "periscope.labels" -}}
app.kubernetes.io/part-of: periscope
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "periscope.image" -}}
{{- $digest := required (printf "%s.digest is needed: an image by digest, not by tag" .path) .image.digest -}}
{{ .image.repository }}@{{ $digest }}
{{- end }}

{{- define "periscope.endpoint" -}}
{{- if eq .Values.store.kind "seaweedfs" -}}
http://{{ .Release.Name }}-seaweedfs.{{ .Release.Namespace }}.svc:8333
{{- else -}}
{{ required "store.endpoint is needed with store.kind external" .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- define "periscope.url" -}}
http://{{ .root.Release.Name }}-{{ .name }}.{{ .root.Release.Namespace }}.svc:8000
{{- end }}

{{- define "periscope.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
