{{- define "periscope.service" }}
{{- $own := index .root.Values.services .name }}
{{- $full := printf "%s-%s" .root.Release.Name .name }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}
  labels:
    app.kubernetes.io/name: {{ .name }}
    {{- include "periscope.labels" .root | nindent 4 }}
spec:
  {{- if not .root.Values.autoscaling.enabled }}
  replicas: {{ $own.replicas }}
  {{- end }}
  selector:
    matchLabels: {app.kubernetes.io/name: {{ .name }}, app.kubernetes.io/instance: {{ .root.Release.Name }}}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ .name }}
        {{- include "periscope.labels" .root | nindent 8 }}
    spec:
      serviceAccountName: {{ .account | default "default" }}
      automountServiceAccountToken: {{ .account | empty | not }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {app.kubernetes.io/name: {{ .name }}, app.kubernetes.io/instance: {{ .root.Release.Name }}}
      containers:
        - name: service
          image: {{ include "periscope.image" (dict "image" (dict "repository" ($own.image.repository | default .root.Values.image.repository) "digest" ($own.image.digest | default .root.Values.image.digest)) "path" "image") }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: ["periscope_{{ .name }}.app:create_app_from_environ()"]
          ports:
            - {name: http, containerPort: 8000}
            - {name: probes, containerPort: 8001}
          env:
            {{- include "periscope.environment" . | nindent 12 }}
          livenessProbe: {httpGet: {path: /livez, port: probes}, periodSeconds: 10, failureThreshold: 6}
          readinessProbe: {httpGet: {path: /readyz, port: probes}, periodSeconds: 5}
          startupProbe: {httpGet: {path: /livez, port: probes}, periodSeconds: 2, failureThreshold: 60}
          securityContext:
            {{- include "periscope.restricted" . | nindent 12 }}
          resources:
            {{- toYaml $own.resources | nindent 12 }}
          volumeMounts:
            - {name: work, mountPath: /work}
            - {name: tmp, mountPath: /tmp}
            {{- if and (eq .name "registry") .root.Values.auth.releaseSecret }}
            - {name: release, mountPath: /etc/periscope/release, readOnly: true}
            {{- end }}
      volumes:
        {{- if and (eq .name "registry") .root.Values.auth.releaseSecret }}
        - {name: release, secret: {secretName: {{ .root.Values.auth.releaseSecret }}}}
        {{- end }}
        - {name: work, emptyDir: {sizeLimit: {{ $own.scratch }}}}
        - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $full }}
  labels:
    app.kubernetes.io/name: {{ .name }}
    {{- include "periscope.labels" .root | nindent 4 }}
spec:
  selector: {app.kubernetes.io/name: {{ .name }}, app.kubernetes.io/instance: {{ .root.Release.Name }}}
  ports:
    - {name: http, port: 8000, targetPort: http}
    - {name: probes, port: 8001, targetPort: probes}
{{- if and .root.Values.podDisruptionBudgets.enabled (gt (int $own.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $full }}
spec:
  minAvailable: 1
  selector:
    matchLabels: {app.kubernetes.io/name: {{ .name }}, app.kubernetes.io/instance: {{ .root.Release.Name }}}
{{- end }}
{{- if .root.Values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $full }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $full }}}
  minReplicas: {{ $own.replicas }}
  maxReplicas: {{ .root.Values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .root.Values.autoscaling.targetCPUPercent }}}}
{{- end }}
{{- end }}
